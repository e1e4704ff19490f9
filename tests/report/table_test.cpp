#include <clocale>
#include <qtk/report/table.hpp>

#include "report/samples.hpp"
#include "support/catch.hpp"

using namespace qtk::report;

TEST_CASE("the comparison on a terminal") {
  const char* golden =
      "variant              size  vs FP32  median / p95 ms      speed-up  accuracy  change  "
      "output SQNR  peak memory  Pareto\n"
      "-------------------------------------------------------------------------------------"
      "--------------------------------\n"
      "fp32              1.08 MB    1.00x      2.00 / 2.20         1.00x   81.00 %    0.00  "
      "      exact      6.40 MB     yes\n"
      "int8               290 KB    0.27x      1.00 / 1.05         2.00x   80.80 %   -0.20  "
      "    31.2 dB      4.20 MB     yes\n"
      "int8-weight-only   290 KB    0.27x      3.20 / 3.40  0.62x slower   80.90 %   -0.10  "
      "    36.0 dB      5.60 MB     yes\n"
      "int4               170 KB    0.16x      1.60 / 1.70         1.25x   77.00 %   -4.00  "
      "    17.9 dB      4.10 MB     yes\n"
      "pruned50          1.08 MB    1.00x      2.50 / 2.60  0.80x slower   69.00 %  -12.00  "
      "    10.2 dB      6.40 MB\n";
  CHECK(comparison_table(sample_comparison()).str() == golden);
}

TEST_CASE("notes are grouped, the pick is told with its gains") {
  const comparison c = sample_comparison();
  CHECK(notes(c) == std::vector<std::string>{"int8-weight-only, pruned50: widening costs more"});
  CHECK(recommendation(c) == "Pick int8: 3.7x smaller, 2.0x faster, -0.20 points.");
  CHECK(recommendation(c, {.points = 5}) ==
        "Pick int4: 6.4x smaller, 1.25x faster, -4.00 points. "
        "Fastest: int8, 3.7x smaller, 2.0x faster, -0.20 points.");
  CHECK(recommendation(c, {.points = 0}) ==
        "Stay with fp32: no other variant gains and is as good.");
  comparison same = c;
  same.variants[1].accuracy = same.variants[0].accuracy;
  CHECK(recommendation(same) == "Pick int8: 3.7x smaller, 2.0x faster, as accurate.");
  comparison blind = c;
  for (variant& v : blind.variants) v.accuracy = std::numeric_limits<double>::quiet_NaN();
  mark_pareto(blind);
  CHECK(recommendation(blind) == "Pick int8: 3.7x smaller, 2.0x faster, 31.2 dB SQNR.");
}

TEST_CASE("what was not measured is a dash") {
  comparison c;
  c.variants.push_back({.name = "empty", .note = {}});
  const auto row = comparison_table(c).rows()[1];
  CHECK(row == std::vector<std::string>{"empty", "0 B", "-", "0.0000 / 0.0000", "-", "-", "-",
                                        "exact", "0 B", ""});
}

TEST_CASE("columns align by characters, not bytes, and names can't move the cursor") {
  text_table t({"name", "n", "kernel"}, "lrl");
  t.add({"\xC3\xA9t\xC3\xA9", "1", "a"});
  t.add({"x\n\x1b[2J", "10", ""});
  t.add({"bad\xFF", "100", "b"});
  CHECK(t.str() ==
        "name      n  kernel\n"
        "-------------------\n"
        "\xC3\xA9t\xC3\xA9       1  a\n"
        "x\xEF\xBF\xBD\xEF\xBF\xBD[2J   10\n"
        "bad\xEF\xBF\xBD    100  b\n");
  CHECK_THROWS_AS(t.add({"too", "few"}), qtk::error);
  CHECK_THROWS_AS(text_table({"a"}, "lr"), qtk::error);
  CHECK_THROWS_AS(text_table({"a"}, "c"), qtk::error);
}

TEST_CASE("numbers for people") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(1000) == "1.00 KB");
  CHECK(human_bytes(9994) == "9.99 KB");
  CHECK(human_bytes(9996) == "10.0 KB");
  CHECK(human_bytes(99960) == "100 KB");
  CHECK(human_bytes(999499) == "999 KB");
  CHECK(human_bytes(999500) == "1.00 MB");
  CHECK(human_bytes(static_cast<std::size_t>(-1)) == "18446744 TB");
  CHECK(three_digits(0.01234) == "0.0123");
  CHECK(three_digits(0.99951) == "1.00");
  CHECK(three_digits(123.4) == "123");
  CHECK(fixed(-0.001, 2) == "0.00");
  CHECK(fixed(1e300, 0).size() == 301);
  CHECK(fixed(std::numeric_limits<double>::quiet_NaN(), 1) == "-");
  CHECK(points(0.001) == "+0.10");
  CHECK(points(-0.00001) == "0.00");
  CHECK(speed(1.0) == "1.00x");
  CHECK(speed(0.996) == "1.00x");
  CHECK(speed(0.96) == "0.96x slower");
  CHECK(speed(0.98) == "0.98x");
  CHECK(decibels(-3) == "-3.0 dB");
  CHECK(decibels(-std::numeric_limits<double>::infinity()) == "-");
  CHECK(format("%s", std::string(1000, 'x').c_str()).size() == 1000);
}

TEST_CASE("long names keep both ends") {
  CHECK(shorten("short", 10) == "short");
  CHECK(shorten("layer1/layer1.0/conv2/Conv", 14) == "laye..nv2/Conv");
  CHECK(display_width(shorten(std::string(50, 'a') + "\xC3\xA9", 20)) == 20);
}
