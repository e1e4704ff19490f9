// fp32 sums of fp32 rows and weights that are widened to fp32 in registers. Included once for each
// ISA, inside its namespace and target region; needs `simd` there.
//
// `Weights` says how nr weights become vectors:
//   group(header)           takes up the scales and zero points of a group (grouped formats)
//   plain                   those of fp32
//   load(codes, header, w)  nr codes, one k, to nr / width vectors

/// One k: acc (Rows, Panels * nr) += a (Rows) * weights.
template <class Weights, std::size_t Rows, std::size_t Panels, class Acc>
QTK_ALWAYS_INLINE void gemm_f32_step(const float* a, const std::byte* codes, const std::byte* group,
                                     std::size_t panel_bytes, Acc& acc) {
  constexpr std::size_t vectors = Weights::nr / simd::width, columns = Panels * vectors;
  // The side with fewer registers stays in them: weights of all panels, or the rows' values.
  constexpr std::size_t width = Rows < columns ? vectors : columns;
  QTK_UNROLL
  for (std::size_t j0 = 0; j0 < columns; j0 += width) {
    simd::f32 w[width];
    QTK_UNROLL
    for (std::size_t j = 0; j < width; j += vectors) {
      const std::size_t panel = (j0 + j) / vectors * panel_bytes;
      Weights::load(codes + panel, group + panel, w + j);
    }
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const simd::f32 x = simd::set1(a[i]);
      QTK_UNROLL
      for (std::size_t j = 0; j < width; ++j)
        acc[i][j0 + j] = simd::mul_add(x, w[j], acc[i][j0 + j]);
    }
  }
}

template <class Weights, std::size_t Rows, std::size_t Panels>
inline void gemm_f32_run(const gemm_tile<float, float>& t) {
  constexpr std::size_t vectors = Weights::nr / simd::width, columns = Panels * vectors;
  // Loops of fewer instructions than this makes are held up by their own jump (AVX2, 6 x 16: 93
  // instead of 97 GFLOP/s; 4 x 16: 60 instead of 92).
  // Not where weights are scaled: that is long enough, and g++ 12 spills.
  constexpr std::size_t unroll = Weights::header_bytes != 0 ? 1 : Rows * columns < 24 ? 4 : 2;
  const std::size_t panel_bytes = t.panel_bytes;
  fetch_stream fetch = t.fetch;
  simd::f32 acc[Rows][columns];
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
    if constexpr (Weights::header_bytes != 0)
      fetch.template advance<Panels, Weights::header_bytes>();
    for (; length >= unroll; length -= unroll) {
      fetch.template advance<Panels, unroll * Weights::step_bytes>();
      QTK_UNROLL
      for (std::size_t u = 0; u < unroll; ++u)
        gemm_f32_step<Weights, Rows, Panels>(a + u * Rows, codes + u * Weights::step_bytes, group,
                                             panel_bytes, acc);
      a += unroll * Rows;
      codes += unroll * Weights::step_bytes;
    }
    for (; length != 0; --length, a += Rows, codes += Weights::step_bytes)
      gemm_f32_step<Weights, Rows, Panels>(a, codes, group, panel_bytes, acc);
  }
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j)
      simd::store(t.c + (i * columns + j) * simd::width, acc[i][j]);
  }
}

/// The same where nothing is packed: step k of panel 0 is the image from t.offsets[k] on, and the
/// panels are neighbors in it.
template <class Weights, std::size_t Rows, std::size_t Columns>
QTK_ALWAYS_INLINE void gemm_f32_rows(const gemm_tile<float, float>& t,
                                     simd::f32 (&acc)[Rows][Columns]) {
  constexpr std::size_t panels = Columns * simd::width / Weights::nr;
  constexpr std::size_t unroll = Rows * Columns < 24 ? 4 : 2;  // as above
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < Columns; ++j) acc[i][j] = simd::zero();
  }
  const float* a = t.a;
  const std::byte* const rows = t.b;
  const std::size_t* offsets = t.offsets;
  const auto step = [&](std::size_t u) {
    // What the next panels read, into the L2 cache: more rows than the CPU follows by itself (1 x
    // 1, 96 to 24 channels of 56 x 56, batch 32: 4.7 ms, not 5.6). Shorter vectors have no time for
    // it.
    if constexpr (simd::width * sizeof(float) == 64) {
      QTK_UNROLL
      for (std::size_t j = 0; j < Columns; ++j)
        __builtin_prefetch(rows + (offsets[u] + (Columns + j) * simd::width) * sizeof(float), 0, 2);
    }
    gemm_f32_step<Weights, Rows, panels>(a + u * Rows, rows + offsets[u] * sizeof(float), nullptr,
                                         Weights::step_bytes, acc);
  };
  std::size_t length = t.k;
  for (; length >= unroll; length -= unroll, a += unroll * Rows, offsets += unroll) {
    QTK_UNROLL
    for (std::size_t u = 0; u < unroll; ++u) step(u);
  }
  for (; length != 0; --length, a += Rows, ++offsets) step(0);
}

template <class Weights, std::size_t Rows, std::size_t Panels>
inline void gemm_f32_run_rows(const gemm_tile<float, float>& t) {
  constexpr std::size_t columns = Panels * Weights::nr / simd::width;
  simd::f32 acc[Rows][columns];
  gemm_f32_rows<Weights>(t, acc);
  QTK_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    QTK_UNROLL
    for (std::size_t j = 0; j < columns; ++j)
      simd::store(t.c + (i * columns + j) * simd::width, acc[i][j]);
  }
}

/// The same sums finished in registers. A function of its own, because the one above keeps fewer
/// accumulators in registers if it has this end, too (AVX2, Winograd's products: 5 % more time).
template <class Weights, std::size_t Rows, std::size_t Panels>
inline void gemm_f32_finish_rows(const gemm_tile<float, float>& t) {
  constexpr std::size_t columns = Panels * Weights::nr / simd::width;
  simd::f32 acc[Rows][columns];
  gemm_f32_rows<Weights>(t, acc);
  const gemm_finish<float> f = *t.finish;  // a copy, as in gemm_finish_run()
  const finish_constants<simd> constants = finish_constants_of<simd>(*f.out);
  QTK_UNROLL
  for (std::size_t j = 0; j < columns; ++j) {
    simd::f32 x[Rows];
    QTK_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) x[i] = acc[i][j];
    gemm_finish_scaled<simd, Rows>(f, constants, 0, j * simd::width, x);
  }
}

/// The weights of a tile as panels of fp32, t.k x nr each.
template <class Weights>
inline void gemm_f32_widen(const gemm_tile<float, float>& t, std::size_t panels,
                           std::byte* widened) {
  auto* out = reinterpret_cast<float*>(widened);
  constexpr std::size_t vectors = Weights::nr / simd::width;
  for (std::size_t p = 0; p < panels; ++p) {
    const std::byte* group = t.b + p * t.panel_bytes;
    std::size_t skip = t.skip;
    for (std::size_t left = t.k; left != 0; group += t.group_bytes, skip = 0) {
      std::size_t length = left;
      if constexpr (Weights::header_bytes != 0)
        length = left < t.group_k - skip ? left : t.group_k - skip;
      left -= length;
      const std::byte* codes = group + Weights::header_bytes + skip * Weights::step_bytes;
      for (std::size_t k = 0; k < length; ++k, codes += Weights::step_bytes, out += Weights::nr) {
        simd::f32 w[vectors];
        Weights::load(codes, group, w);
        QTK_UNROLL
        for (std::size_t v = 0; v < vectors; ++v) simd::store(out + v * simd::width, w[v]);
      }
    }
  }
}

/// The kernel of fp32 rows and weights of one format. `Tile` holds what differs between the ISAs:
///   target, mr, nr, mc, kc, panels(rows)
///   names[gemm_op]
///   grouped_panels(rows)    those of rows <= direct_rows where scales and zero points, too, are to
///                  stay in registers
///   direct_rows    so many rows at most take weights that are widened in registers
template <gemm_op Op, class Tile, class Weights>
struct gemm_f32 : Tile {
  static constexpr gemm_op op = Op;
  static constexpr std::size_t kr = 1;
  static constexpr const char* name = Tile::names[static_cast<std::size_t>(Op)];
  using a_packed = float;
  static constexpr std::size_t direct_rows = Op == gemm_op::f32_f32 ? Tile::mr : Tile::direct_rows;
  static constexpr std::size_t panels(std::size_t rows) {
    return gemm_op_traits<Op>::grouped && rows <= direct_rows ? Tile::grouped_panels(rows)
                                                              : Tile::panels(rows);
  }
  using widened = gemm_f32<gemm_op::f32_f32, Tile, typename Weights::plain>;
  static constexpr std::size_t order(std::size_t j, std::size_t) { return Weights::order(j); }

  template <std::size_t Rows, std::size_t Panels>
  static void run(const gemm_tile<float, float>& t) {
    gemm_f32_run<Weights, Rows, Panels>(t);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void run_rows(const gemm_tile<float, float>& t) requires(Op == gemm_op::f32_f32) {
    gemm_f32_run_rows<Weights, Rows, Panels>(t);
  }
  template <std::size_t Rows, std::size_t Panels>
  static void finish_rows(const gemm_tile<float, float>& t) requires(Op == gemm_op::f32_f32) {
    gemm_f32_finish_rows<Weights, Rows, Panels>(t);
  }
  static constexpr std::size_t widened_panel_bytes(std::size_t k) {
    return k * Tile::nr * sizeof(float);
  }
  static constexpr std::size_t widened_read_bytes(std::size_t k) { return widened_panel_bytes(k); }
  static void widen(const gemm_tile<float, float>& t, std::size_t panels, std::byte* out) {
    gemm_f32_widen<Weights>(t, panels, out);
  }
  static void round_row(std::size_t n, const float* x, float* out) {
    constexpr std::size_t width = simd::width;
    const std::size_t body = n - n % width;
    bfloat16 rounded[width];
    for (std::size_t i = 0; i < body; i += width) {
      simd::store_bf16(rounded, simd::load(x + i));
      simd::store(out + i, simd::load_bf16(rounded));
    }
    for (std::size_t i = body; i < n; ++i) out[i] = to_float(to_bfloat16(x[i]));
  }
  static void finish(const gemm_finish<float>& f) { gemm_finish_run<simd, Tile::nr>(f); }
};
