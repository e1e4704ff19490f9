// s8 rows and int4 weights in groups. Included once for each ISA, inside its namespace and target
// region; needs `simd` there. `Kernel` brings
//
//   multiply<Rows, Panels>(a, codes, panel_bytes, k, dots)
//
// which sets dots (Rows, Panels * nr) to the sums over one group of a * code, code being 0 .. 15.
// They go by way of memory on purpose: as registers they would crowd out the accumulators of
// `multiply` (g++ 12 spills 12 of them), and the work on them is small beside 32 products each.

/// Per group: c += float(dot - zero_point * sum of a) * scale, in ascending order of groups.
/// Product and sum are rounded one by one on every ISA.
template <class Kernel, std::size_t Rows, std::size_t Panels>
inline void gemm_s8s4_run(const gemm_tile<std::int8_t, float>& t) {
  constexpr std::size_t nr = Kernel::nr, columns = Panels * nr, header_bytes = nr * 5;
  if (!t.accumulate)
    for (std::size_t i = 0; i < Rows * columns; i += simd::width)
      simd::store(t.c + i, simd::zero());
  const std::int8_t* a = t.a;
  const std::int32_t* a_sums = t.a_sums;
  const std::byte* group = t.b;
  for (std::size_t left = t.k; left != 0; group += t.group_bytes, a_sums += Rows) {
    const std::size_t length = left < t.group_k ? left : t.group_k;
    left -= length;
    alignas(64) std::int32_t dots[Rows * columns];
    Kernel::template multiply<Rows, Panels>(a, group + header_bytes, t.panel_bytes, length, dots);
    a += Rows * length;
    for (std::size_t j = 0; j < columns; j += simd::width) {
      const std::byte* const header = group + j / nr * t.panel_bytes;
      const auto scale = simd::load(reinterpret_cast<const float*>(header) + j % nr);
      const auto zero_point =
          simd::load_s8(reinterpret_cast<const std::int8_t*>(header + nr * sizeof(float)) + j % nr);
      for (std::size_t i = 0; i < Rows; ++i) {
        float* const c = t.c + i * columns + j;
        const auto sum = simd::sub(simd::load(dots + i * columns + j),
                                   simd::mul(simd::set1(a_sums[i]), zero_point));
        simd::store(c,
                    simd::add(simd::load(c), simd::rounded(simd::mul(simd::to_f32(sum), scale))));
      }
    }
  }
}
