// Whole files as bytes.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace graft::io {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

// LoadError when the file cannot be opened or read to its end (a folder, for example).
Bytes read_file(const std::filesystem::path&);

// Lower-case hexadecimal SHA-256.
std::string sha256(ByteSpan);
std::string sha256_file(const std::filesystem::path&);

}  // namespace graft::io
