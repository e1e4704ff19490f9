#include <qtk/core/error.hpp>

#include "support/catch.hpp"

TEST_CASE("an error is one line that moves no cursor", "[core]") {
  const qtk::error e("a\nb\x1b[31m\x7f", "tensor 'x\ty'");
  CHECK(std::string(e.what()) == "tensor 'x?y': a?b?[31m?");
  CHECK(e.message() == "a\nb\x1b[31m\x7f");
  // C1 in UTF-8 is a command, too; other letters that begin with its byte are not.
  CHECK(std::string(qtk::error("\xc2\x9b"
                               "31m \xc2\xb5s \xc3\xa9")
                        .what()) == "??31m \xc2\xb5s \xc3\xa9");
  CHECK(std::string(qtk::error("cut \xc2").what()) == "cut \xc2");
}
