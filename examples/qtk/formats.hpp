#pragma once

#include <qtk/graph.hpp>
#include <span>
#include <string_view>

/// The formats that the program offers, each a function from the trained model to a smaller one.
namespace qtk_cli {

struct format_choice {
  std::string_view name, what;
  qtk::model (*make)(const qtk::model&);
};

/// In the order of the comparison; the first is the reference.
std::span<const format_choice> all_formats();

/// qtk::error that lists the names where there is none of this one.
const format_choice& find_format(std::string_view name);

}  // namespace qtk_cli
