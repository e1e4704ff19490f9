#pragma once

#include <qtk/tensor.hpp>
#include <string>
#include <vector>

/// Labeled samples for measuring accuracy, from the sources that `--data` names.
namespace qtk_cli {

struct data_set {
  std::string source;         // "mnist:../shared/data/mnist"
  qtk::shape sample;          // one sample, without the batch dimension
  std::vector<float> values;  // (count, sample...), as stored: before preprocessing
  std::vector<int> labels;    // (count), or empty

  std::size_t count() const {
    return sample.elements() == 0 ? 0 : values.size() / sample.elements();
  }
};

/// x -> (x * scale - mean[c]) / std[c], c the channel (first dimension of a sample); empty lists
/// are 0 and 1.
struct preprocessing {
  float scale = 1.0f;
  std::vector<float> mean, std;
};

/// Reads at most `limit` samples of
///   mnist:DIR       t10k-images-idx3-ubyte[.gz] and its labels, values 0..255
///   cifar10:FILE[.gz]  records of a label byte and 3 x 32 x 32 bytes, values 0..255
///   csv:FILE        one sample a line, the label first
///   npz:FILE        numpy arrays x (float or uint8, samples first) and y (integers; may be
///   missing) builtin:digits  generated handwriting, values 0..1
/// qtk::error names the file and what is wrong with it.
data_set load_data(const std::string& spec, std::size_t limit);

/// `count` samples, spread evenly because files are often sorted by class, and the others.
struct data_split {
  data_set chosen, rest;
};
data_split split(const data_set& data, std::size_t count);

void preprocess(data_set& data, const preprocessing& p);

/// Samples [first, first + count) as a batch: (count, sample...), the tail repeating the last
/// sample.
qtk::tensor<qtk::fp32> batch(const data_set& data, std::size_t first, std::size_t count);

}  // namespace qtk_cli
