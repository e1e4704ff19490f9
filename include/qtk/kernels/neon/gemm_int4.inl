// The kernels of int8 rows and int4 weights of one ISA. Included once for each, inside its
// namespace and target region, after gemm_s8s4_body.inl; needs `simd`, `gemm_finish_run` and
// `int4_steps` there:
//
//   target, grouped_name, channel_name, mr, nr, kr, mc, panels(rows), order(j, k)
//   add(a, codes, panel_bytes, k, sums)    sums, registers of (Rows, Panels * nr), += the products

/// In groups.
struct gemm_s8s4f32 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr const char* name = int4_steps::grouped_name;
  static constexpr std::size_t kc = 1024;
  using a_packed = std::int8_t;

  // Inlined at any price, or clang leaves `dots` in memory.
  template <std::size_t Rows, std::size_t Panels>
  [[gnu::always_inline]] static void multiply(const std::int8_t* a, const std::byte* codes,
                                              std::size_t panel_bytes, fetch_stream&, std::size_t k,
                                              const std::int32_t* start,
                                              int32x4_t (&dots)[Rows][4 * Panels]) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < 4 * Panels; ++j) dots[i][j] = simd::set1(start[i]);
    }
    int4_steps::add(a, codes, panel_bytes, k, dots);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

/// Under one scale.
struct gemm_s8s4s32 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4_channel;
  static constexpr const char* name = int4_steps::channel_name;
  static constexpr std::size_t kc = 1024;
  using a_packed = std::int8_t;

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, std::int32_t>& t) {
    constexpr std::size_t columns = 4 * Panels;
    int32x4_t sums[Rows][columns];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        sums[i][j] = t.accumulate ? vld1q_s32(t.c + (i * columns + j) * 4) : vdupq_n_s32(0);
    }
    int4_steps::add(t.a, t.b, t.panel_bytes, t.k, sums);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j) vst1q_s32(t.c + (i * columns + j) * 4, sums[i][j]);
    }
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};
