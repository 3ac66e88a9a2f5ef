# Debian packages only; `./run` installs them. `graft_dependencies` carries those that only .cpp files see.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
add_library(hwy ALIAS PkgConfig::hwy)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(LibArchive REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)

add_library(graft_dependencies INTERFACE)
target_link_libraries(graft_dependencies INTERFACE Threads::Threads nlohmann_json::nlohmann_json SQLite::SQLite3 ZLIB::ZLIB
  LibArchive::LibArchive CURL::libcurl OpenSSL::Crypto PkgConfig::xxhash)
