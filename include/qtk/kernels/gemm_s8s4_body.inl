// s8 rows and int4 weights. Included once for each ISA, inside its namespace and target region;
// needs `simd` there. `Kernel` brings
//
//   multiply<Rows, Panels>(a, codes, panel_bytes, fetch, k, start, dots)
//
// which sets dots[i][j], one register each of (Rows, Panels * nr), to start[i] plus the sums over
// one group of a * code, code being 0 .. 15.

/// Groups: c += float(dot - zero_point * sum of a) * scale, in ascending order. Product and sum are
/// rounded one by one on every ISA. The common zero point 8 costs nothing: sums start at -8 times
/// the sum of a. c waits in memory, which the L1 cache hides; as registers it would leave half of
/// them to `multiply`.
template <class Kernel, std::size_t Rows, std::size_t Panels>
inline void gemm_s8s4_run(const gemm_tile<std::int8_t, float>& t) {
  constexpr std::size_t nr = Kernel::nr, vectors = nr / simd::width, columns = Panels * vectors;
  constexpr std::size_t header_bytes = nr * sizeof(float);
  if (!t.accumulate)
    for (std::size_t i = 0; i < Rows * columns; ++i)
      simd::store(t.c + i * simd::width, simd::zero());
  const std::int8_t* a = t.a;
  const std::int32_t* a_sums = t.a_sums;
  const std::byte* group = t.b;
  const std::int8_t* zero_points = t.zero_points;
  float* c = t.c;
  fetch_stream fetch = t.fetch;
  for (std::size_t left = t.k; left != 0;
       group += t.group_bytes, a_sums += Rows, zero_points += nr) {
    const std::size_t length = left < t.group_k ? left : t.group_k;
    left -= length;
    fetch.template advance<Panels, header_bytes, 8>();
    __asm__("" : "+r"(c));  // or g++ 12 keeps it in registers, and spills those
    typename simd::i32 dots[Rows][columns];
    Kernel::template multiply<Rows, Panels>(a, group + header_bytes, t.panel_bytes, fetch, length,
                                            a_sums, dots);
    a += Rows * length;
    if (!t.symmetric) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) {
        const auto beyond_8 = simd::sub(
            simd::load_s8(zero_points + j / vectors * t.panel_bytes + j % vectors * simd::width),
            simd::set1(std::int32_t{8}));
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i)
          dots[i][j] = simd::add(dots[i][j], simd::mul(simd::set1(a_sums[i] / 8), beyond_8));
      }
    }
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j) {
      const std::byte* const header = group + j / vectors * t.panel_bytes;
      const auto scale =
          simd::load(reinterpret_cast<const float*>(header) + j % vectors * simd::width);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        float* const sum = c + (i * columns + j) * simd::width;
        simd::store(sum, simd::add(simd::load(sum),
                                   simd::rounded(simd::mul(simd::to_f32(dots[i][j]), scale))));
      }
    }
  }
}
