// Integer products by vpdpbusd of 256 bits. Included once for each ISA, inside its namespace and
// target region; needs `simd`, `broadcast4`, `panels_for`, `gemm_finish_run`, gemm_s8s4_body.inl
// and
//
//   dot(sum, u, s)    each lane: sum + four products of unsigned and signed bytes
//   vnni256_target    the isa
//
// there.

/// acc (Rows, 2 * Panels) as the sums of a tile begin, and on their way out.
template <std::size_t Rows, std::size_t Columns>
QTK_ALWAYS_INLINE void load_sums(const std::int32_t* c, bool accumulate,
                                 __m256i (&acc)[Rows][Columns]) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; ++j)
      acc[i][j] = accumulate ? simd::load(c + (i * Columns + j) * 8) : _mm256_setzero_si256();
  }
}
template <std::size_t Rows, std::size_t Columns>
QTK_ALWAYS_INLINE void store_sums(const __m256i (&acc)[Rows][Columns], std::int32_t* c) {
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; ++j) simd::store(c + (i * Columns + j) * 8, acc[i][j]);
  }
}

/// int32 sums of u8 * s8: 12 accumulators, two vectors of weights, a broadcast. Zero points are
/// taken off in the epilogue. `A` is what is broadcast: activations in a product of matrices,
/// weights in a convolution.
template <class A>
struct gemm_6x16c4 {
  static constexpr bool signed_rows = std::is_signed_v<A>;
  static constexpr gemm_op op = gemm_op::u8_s8;
  static constexpr isa target = vnni256_target;
  static constexpr const char* name = signed_rows ? "gemm_s8u8s32_6x16c4" : "gemm_u8s8s32_6x16c4";
  static constexpr std::size_t mr = 6, nr = 16, kr = 4, mc = 144, kc = 1024;
  using a_packed = A;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) { return j * kr + k; }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<A, std::int32_t>& t) {
    __m256i acc[Rows][2 * Panels];
    load_sums(t.c, t.accumulate, acc);
    const A* a = t.a;
    const std::byte* b = t.b;
    fetch_stream fetch = t.fetch;
    for (std::size_t k = 0; k < t.k; k += kr, a += kr * Rows, b += kr * nr) {
      fetch.template advance<Panels, kr * nr>();
      QTK_UNROLL
      for (std::size_t p = 0; p < Panels; ++p) {
        const auto* const codes = reinterpret_cast<const __m256i*>(b + p * t.panel_bytes);
        const __m256i lo = _mm256_loadu_si256(codes), hi = _mm256_loadu_si256(codes + 1);
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          const __m256i x = broadcast4(a + i * kr);
          __m256i &l = acc[i][2 * p], &h = acc[i][2 * p + 1];
          l = signed_rows ? dot(l, lo, x) : dot(l, x, lo);
          h = signed_rows ? dot(h, hi, x) : dot(h, x, hi);
        }
      }
    }
    store_sums(acc, t.c);
  }

  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};

/// int8 rows times 4-bit codes, the unsigned operand. A step of codes is 32 bytes, 4 k of 16
/// columns; the low nibbles are columns 0..7, the high ones 8..15.
struct int4_steps {
  static constexpr std::size_t mr = 6, nr = 16, kr = 4, mc = 144, step_bytes = nr * kr / 2;
  using a_packed = std::int8_t;
  static constexpr std::size_t panels(std::size_t rows) { return panels_for(rows); }
  static constexpr std::size_t order(std::size_t j, std::size_t k) {
    return (j % 8 * kr + k) * 2 + j / 8;
  }

  /// dots += the products of k elements.
  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void add(const std::int8_t* a, const std::byte* codes,
                                    std::size_t panel_bytes, fetch_stream& fetch, std::size_t k,
                                    __m256i (&dots)[Rows][2 * Panels]) {
    const __m256i mask = _mm256_set1_epi8(15);
    for (; k != 0; k -= kr, a += kr * Rows, codes += step_bytes) {
      fetch.template advance<Panels, step_bytes, 8>();
      QTK_UNROLL
      for (std::size_t p = 0; p < Panels; ++p) {
        const __m256i both =
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + p * panel_bytes));
        const __m256i lo = _mm256_and_si256(both, mask);
        const __m256i hi = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
        QTK_UNROLL
        for (std::size_t i = 0; i < Rows; ++i) {
          const __m256i x = broadcast4(a + i * kr);
          dots[i][2 * p] = dot(dots[i][2 * p], lo, x);
          dots[i][2 * p + 1] = dot(dots[i][2 * p + 1], hi, x);
        }
      }
    }
  }
};

/// s8 times int4 in groups.
struct gemm_s8s4f32_6x16c4 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4;
  static constexpr isa target = vnni256_target;
  static constexpr const char* name = "gemm_s8s4f32_6x16c4";
  static constexpr std::size_t kc = 512;

  template <std::size_t Rows, std::size_t Panels>
  QTK_ALWAYS_INLINE static void multiply(const std::int8_t* a, const std::byte* codes,
                                         std::size_t panel_bytes, fetch_stream& fetch,
                                         std::size_t k, const std::int32_t* start,
                                         __m256i (&dots)[Rows][2 * Panels]) {
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      QTK_UNROLL
      for (std::size_t j = 0; j < 2 * Panels; ++j) dots[i][j] = _mm256_set1_epi32(start[i]);
    }
    int4_steps::add<Rows, Panels>(a, codes, panel_bytes, fetch, k, dots);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, float>& t) {
    gemm_s8s4_run<gemm_s8s4f32_6x16c4, Rows, Panels>(t);
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, nr>(f); }
};

/// s8 times int4 under one scale.
struct gemm_s8s4s32_6x16c4 : int4_steps {
  static constexpr gemm_op op = gemm_op::s8_s4_channel;
  static constexpr isa target = vnni256_target;
  static constexpr const char* name = "gemm_s8s4s32_6x16c4";
  static constexpr std::size_t kc = 1024;

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<std::int8_t, std::int32_t>& t) {
    __m256i sums[Rows][2 * Panels];
    load_sums(t.c, t.accumulate, sums);
    fetch_stream fetch = t.fetch;
    int4_steps::add<Rows, Panels>(t.a, t.b, t.panel_bytes, fetch, t.k, sums);
    store_sums(sums, t.c);
  }
  template <class Sum>
  static void finish(const gemm_finish<Sum>& f) {
    gemm_finish_run<simd, nr>(f);
  }
};
