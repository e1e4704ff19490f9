#include <qtk/report/json.hpp>

#include "report/samples.hpp"
#include "support/catch.hpp"

using namespace qtk::report;
using json = nlohmann::ordered_json;

namespace {
std::vector<std::string> keys(const json& j) {
  std::vector<std::string> out;
  for (const auto& [key, value] : j.items()) out.push_back(key);
  return out;
}
}  // namespace

TEST_CASE("JSON has exactly the promised keys, in order") {
  const comparison c = sample_comparison();
  const json j = json::parse(to_json(c));
  CHECK(keys(j) ==
        std::vector<std::string>{"model", "cpu", "isa", "threads", "samples", "variants"});
  CHECK(j["model"] == "resnet20.onnx");
  CHECK(j["cpu"] == "Some CPU");
  CHECK(j["isa"] == "avx2");
  CHECK(j["threads"] == 2);
  CHECK(j["samples"] == 1000);
  REQUIRE(j["variants"].is_array());
  REQUIRE(j["variants"].size() == c.variants.size());
  for (const json& v : j["variants"]) {
    CHECK(keys(v) == std::vector<std::string>{"name", "size_bytes", "latency_ms", "accuracy",
                                              "sqnr_db", "peak_bytes", "pareto"});
    CHECK(keys(v["latency_ms"]) == std::vector<std::string>{"median", "p95"});
  }
  const json& int8 = j["variants"][1];
  CHECK(int8["name"] == "int8");
  CHECK(int8["size_bytes"] == 290000);
  CHECK(int8["latency_ms"]["median"] == 1.0);
  CHECK(int8["latency_ms"]["p95"] == 1.05);
  CHECK(int8["accuracy"] == 0.808);
  CHECK(int8["sqnr_db"] == 31.25);
  CHECK(int8["peak_bytes"] == 4200000);
  CHECK(int8["pareto"] == true);
  CHECK(j["variants"][4]["pareto"] == false);
}

TEST_CASE("JSON: what isn't a finite number is null") {
  comparison c = sample_comparison();
  c.variants[1].accuracy = std::numeric_limits<double>::quiet_NaN();
  c.variants[1].sqnr_db = -std::numeric_limits<double>::infinity();
  c.variants[1].median_ms = std::numeric_limits<double>::infinity();
  const json j = json::parse(to_json(c));
  CHECK(j["variants"][0]["sqnr_db"].is_null());  // exact
  CHECK(j["variants"][1]["accuracy"].is_null());
  CHECK(j["variants"][1]["sqnr_db"].is_null());
  CHECK(j["variants"][1]["latency_ms"]["median"].is_null());
}

TEST_CASE("JSON: empty, and names that aren't text") {
  comparison c;
  CHECK(json::parse(to_json(c))["variants"] == json::array());
  c.model = "a\"\\\n\xFF\x01";
  CHECK(json::parse(to_json(c))["model"] == "a\"\\\n\xEF\xBF\xBD\x01");
}
