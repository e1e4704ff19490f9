// fp32 sums of fp32 rows and weights that are widened to fp32 in registers. Included once for each
// ISA, inside its namespace and target region; needs `gemm_simd` there.
//
// `Weights` says how nr weights become vectors:
//   group(header)           takes up the scales and zero points of a group (grouped formats)
//   load(codes, header, w)  nr codes, one k, to nr / width vectors

template <class Weights, std::size_t Rows, std::size_t Panels>
inline void gemm_f32_run(const gemm_tile<float, float>& t) {
  using simd = gemm_simd;
  constexpr std::size_t vectors = Weights::nr / simd::width, columns = Panels * vectors;
  simd::vec acc[Rows][columns];
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j)
      acc[i][j] = t.accumulate ? simd::load(t.c + (i * columns + j) * simd::width) : simd::zero();
  }
  const float* a = t.a;
  const std::byte* group = t.b;
  std::size_t skip = t.skip;
  for (std::size_t left = t.k; left != 0; group += t.group_bytes, skip = 0) {
    std::size_t length = left;
    if constexpr (Weights::header_bytes != 0)
      length = left < t.group_k - skip ? left : t.group_k - skip;
    left -= length;
    const std::byte* codes = group + Weights::header_bytes + skip * Weights::step_bytes;
    for (std::size_t k = 0; k < length; ++k, codes += Weights::step_bytes, a += Rows) {
      simd::vec w[columns];
      QTK_UNROLL
      for (std::size_t p = 0; p < Panels; ++p)
        Weights::load(codes + p * t.panel_bytes, group + p * t.panel_bytes, w + p * vectors);
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const simd::vec x = simd::set1(a[i]);
        QTK_UNROLL
        for (std::size_t j = 0; j < columns; ++j) acc[i][j] = simd::fma(x, w[j], acc[i][j]);
      }
    }
  }
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j)
      simd::store(t.c + (i * columns + j) * simd::width, acc[i][j]);
  }
}
