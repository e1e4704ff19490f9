#include <qtk/report/html.hpp>
#include <set>

#include "report/samples.hpp"
#include "support/catch.hpp"

using namespace qtk::report;
using Catch::Matchers::Contains;

namespace {

/// What is wrong with the nesting of tags; empty if nothing is. Knows HTML's void elements and
/// SVG's self-closing form, and that attributes are quoted.
std::string tag_errors(const std::string& html) {
  static const std::set<std::string> empty_elements{"meta", "br", "hr", "img", "link", "input"};
  std::vector<std::string> open;
  for (std::size_t i = html.find('<'); i != std::string::npos; i = html.find('<', i)) {
    std::size_t end = i + 1;
    for (char quote = 0; end < html.size() && (quote != 0 || html[end] != '>'); ++end) {
      if (quote == 0 && html[end] == '<') return "'<' inside of a tag: " + html.substr(i, 60);
      if (html[end] == '"') quote = quote == 0 ? '"' : '\0';
    }
    if (end >= html.size()) return "a tag that doesn't end: " + html.substr(i, 60);
    const std::string tag = html.substr(i + 1, end - i - 1);
    i = end + 1;
    if (tag[0] == '!') continue;
    const bool closes = tag[0] == '/';
    const std::string name = tag.substr(closes, tag.find_first_of(" />", closes) - closes);
    if (closes) {
      if (open.empty() || open.back() != name)
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
    } else if (tag.back() != '/' && empty_elements.count(name) == 0) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "open at the end: " + open.back();
}

page sample_page() {
  const receipt_section f("fp32",
                          {{.name = "conv1",
                            .kernel = "f32_6x16",
                            .calls = 20,
                            .total_ms = 30,
                            .share = 0.75,
                            .gflops = 60,
                            .gbps = 3,
                            .roof_share = 0.6,
                            .memory_bound = false,
                            .intensity = 20},
                           {.name = "fc",
                            .kernel = "f32_gemv",
                            .calls = 20,
                            .total_ms = 8,
                            .share = 0.2,
                            .gflops = 4,
                            .gbps = 8,
                            .roof_share = 0.4,
                            .memory_bound = true,
                            .intensity = 0.5}},
                          40, 20);
  return {sample_comparison(), {100, 300, 20}, {f, f}, "2026-01-31"};
}

}  // namespace

TEST_CASE("the checker of tags sees what is wrong") {
  CHECK(tag_errors("<p>a<br><b>c</b></p><rect x=\"1>\"/>").empty());
  CHECK_FALSE(tag_errors("<p><b></p></b>").empty());
  CHECK_FALSE(tag_errors("<p>").empty());
  CHECK_FALSE(tag_errors("</p>").empty());
  CHECK_FALSE(tag_errors("<p <b>>").empty());
}

TEST_CASE("the page is whole, well-formed and alone") {
  const std::string html = to_html(sample_page());
  CHECK(tag_errors(html) == "");
  CHECK(html.rfind("<!DOCTYPE html>", 0) == 0);
  for (const char* part :
       {"resnet20.onnx", "Some CPU", "avx2 kernels", "2 threads", "1000 samples", "2026-01-31",
        "Pick int8: 3.7x smaller", "0.62x slower", "f32_gemv", "Accuracy against size",
        "Accuracy against latency", "Roofline", "int8-weight-only, pruned50: widening costs more"})
    CHECK_THAT(html, Contains(part));
  for (const char* outside : {"http:", "https:", "<script", "<link", "<img", "@import", "url("})
    CHECK_THAT(html, !Contains(outside));
  CHECK_THAT(html, !Contains("nan") && !Contains(">inf"));
}

TEST_CASE("the table marks the best, the slower and the pick") {
  const std::string html = to_html(sample_page());
  CHECK_THAT(html, Contains("<td class=\"best\">170 KB</td>"));
  CHECK_THAT(html, Contains("<td class=\"best\">1.00 / 1.05</td>"));
  CHECK_THAT(html, Contains("<td class=\"best\">36.0 dB</td>"));  // exact is no feat
  CHECK_THAT(html, Contains("<td class=\"slow\">0.80x slower</td>"));
  CHECK_THAT(html, Contains("int8<span class=\"badge\">pick</span>"));
}

TEST_CASE("hostile names stay text everywhere") {
  const std::string hostile =
      "</title></text><script>alert('1')</script>\" onload=\"x\"\x01\xFF&amp;";
  page p = sample_page();
  p.comparison.model = p.comparison.cpu = p.comparison.isa = p.date = hostile;
  for (variant& v : p.comparison.variants) v.name = v.note = hostile;
  for (receipt_section& s : p.receipts) {
    s.title = hostile;
    for (layer_row& r : s.rows) r.name = r.kernel = hostile;
  }
  const std::string html = to_html(p);
  CHECK(tag_errors(html) == "");
  CHECK_THAT(html, !Contains("<script") && !Contains("\x01") && !Contains("\xFF") &&
                       !Contains("\" onload=\""));
  CHECK_THAT(html, Contains("&lt;script&gt;alert(&#39;1&#39;)") && Contains("&amp;amp;"));
}

TEST_CASE("pages of little: no receipts, no labels, one variant, none") {
  page p = sample_page();
  p.receipts.clear();
  CHECK(tag_errors(to_html(p)) == "");
  CHECK_THAT(to_html(p), !Contains("Roofline"));
  p.comparison.variants.resize(1);
  p.comparison.variants[0].accuracy = std::numeric_limits<double>::quiet_NaN();
  CHECK(tag_errors(to_html(p)) == "");
  CHECK_THAT(to_html(p), Contains("Stay with fp32"));
  p.comparison.variants.clear();
  CHECK_THROWS_AS(to_html(p), qtk::error);
}

TEST_CASE("escape: markup, control characters, ill-formed UTF-8") {
  CHECK(escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(escape("\xC3\xA9 \xE2\x86\x96 \xF0\x9F\x8E\x89") ==
        "\xC3\xA9 \xE2\x86\x96 \xF0\x9F\x8E\x89");
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(escape("\x7F") == bad);
  CHECK(escape("\xC2\x85") == bad);                  // a C1 control
  CHECK(escape("\xC0\xBC") == bad + bad);            // '<', overlong
  CHECK(escape("\xED\xA0\x80") == bad + bad + bad);  // a surrogate
  CHECK(escape("\xF4\x90\x80\x80").size() == 12);    // above U+10FFFF
  CHECK(escape("\xE2\x86") == bad + bad);            // cut off
  CHECK(escape("\xE2<b>") == bad + "&lt;b&gt;");     // what follows is seen
}
