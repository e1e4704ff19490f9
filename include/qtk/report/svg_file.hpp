#pragma once

#include <string>

#include "qtk/core/error.hpp"
#include "qtk/report/style.hpp"

namespace qtk::inline QTK_ABI::report {

/// An inline picture as a file of its own: with its namespace and the page's style, the variables
/// of the light scheme put in, because programs that draw files take a variable for black.
[[nodiscard]] inline std::string svg_file(std::string picture) {
  std::string css = page_style;
  const std::string light = css.substr(0, css.find('}'));
  for (std::size_t at = 0; (at = css.find("var(", at)) != std::string::npos;) {
    const std::size_t end = css.find(')', at);
    const std::string name = css.substr(at + 4, end - at - 4) + ": ";
    const std::size_t value = light.find(name) + name.size();
    css.replace(at, end + 1 - at, light.substr(value, light.find(';', value) - value));
  }
  picture.insert(picture.find(' '), " xmlns=\"http://www.w3.org/2000/svg\"");
  picture.insert(picture.find('\n') + 1, cat("<style>", css, "</style>\n"));
  return picture;
}

}  // namespace qtk::inline QTK_ABI::report
