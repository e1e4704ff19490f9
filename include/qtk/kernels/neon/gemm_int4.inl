// The kernels of int8 rows and int4 weights of one ISA. Included once for each, inside its
// namespace and target region, after gemm_s8s4_body.inl; needs `simd`, `gemm_finish_run` and
// `int4_steps` there:
//
//   target, grouped_name, channel_name, mr, nr, kr, mc, panels(rows), order(j, k)
//   add<Rows, Panels>(a, codes, panel_bytes, k, c)    c (Rows, Panels * nr) += the products

/// In groups.
struct gemm_s8s4f32 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr const char* name = int4_steps::grouped_name;
  static constexpr std::size_t kc = 1024;
  using a_packed = std::int8_t;

  template <std::size_t Rows, std::size_t Panels>
  static void multiply(const std::int8_t* a, const std::byte* codes, std::size_t panel_bytes,
                       fetch_stream&, std::size_t k, const std::int32_t* start,
                       int32x4_t (&dots)[Rows][4 * Panels]) {
    constexpr std::size_t columns = 4 * Panels;
    std::int32_t sums[Rows * columns * 4];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        simd::store(sums + (i * columns + j) * 4, simd::set1(start[i]));
    }
    int4_steps::add<Rows, Panels>(a, codes, panel_bytes, k, sums);
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < columns; ++j)
        dots[i][j] = simd::load(sums + (i * columns + j) * 4);
    }
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
    if (!t.accumulate) {
      QTK_UNROLL
      for (std::size_t i = 0; i < Rows * 4 * Panels; ++i) vst1q_s32(t.c + 4 * i, vdupq_n_s32(0));
    }
    int4_steps::add<Rows, Panels>(t.a, t.b, t.panel_bytes, t.k, t.c);
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};
