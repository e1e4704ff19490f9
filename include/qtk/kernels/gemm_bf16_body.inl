// fp32 sums of bf16 rows and bf16 weights, two products a lane and instruction. Included once for
// each ISA, inside its namespace and target region; needs `simd`, `broadcast4`, `panels_for`,
// `f32_to_bf16` and
//
//   dot(sum, a, w)    each lane: sum + a1 * w1 + a0 * w0, of bf16 pairs
//
// there.

/// 12 x 32 as the other kernels of 512 bits. A step is 2 k of 16 columns, one register.
struct gemm_bf16bf16f32_12x32c2 {
  static constexpr gemm_op op = gemm_op::bf16_bf16;
  static constexpr isa target = bf16_target;
  static constexpr const char* name = "gemm_bf16bf16f32_12x32c2";
  static constexpr std::size_t mr = 12, nr = 16, kr = 2, mc = 144, kc = 1024;
  using a_packed = bfloat16;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<bfloat16, float>& t) {
    simd::f32 acc[Rows][Panels];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j)
        acc[i][j] = t.accumulate ? simd::load(t.c + (i * Panels + j) * nr) : simd::zero();
    }
    const bfloat16* a = t.a;
    const std::byte* b = t.b;
    fetch_stream fetch = t.fetch;
    for (std::size_t k = 0; k < t.k; k += kr, a += kr * Rows, b += kr * nr * sizeof(bfloat16)) {
      simd::i32 w[Panels];
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) w[j] = _mm512_loadu_si512(b + j * t.panel_bytes);
      fetch.template advance<Panels, kr * nr * sizeof(bfloat16)>();
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const simd::i32 x = broadcast4(a + i * kr);
        QTK_UNROLL
        for (std::size_t j = 0; j < Panels; ++j) acc[i][j] = dot(acc[i][j], x, w[j]);
      }
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Panels; ++j) simd::store(t.c + (i * Panels + j) * nr, acc[i][j]);
    }
  }
  static void round_row(std::size_t n, const float* x, bfloat16* out) { f32_to_bf16(n, x, out); }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};
