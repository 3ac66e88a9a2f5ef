#include "transfer/study/store.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sqlite3.h>

namespace graft::study {

namespace {

constexpr int kApplicationId = 0x47524654;  // "GRFT"
constexpr int kSchemaVersion = 1;
constexpr const char* kSchema = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cells(
  position INTEGER PRIMARY KEY, condition TEXT NOT NULL, cut INTEGER NOT NULL, keep INTEGER NOT NULL, source TEXT NOT NULL,
  target TEXT NOT NULL, partition TEXT NOT NULL, half TEXT NOT NULL, seed INTEGER NOT NULL,
  images_per_class INTEGER NOT NULL, key TEXT NOT NULL);
CREATE TABLE results(
  key TEXT PRIMARY KEY, source_key TEXT NOT NULL, identity TEXT NOT NULL, status TEXT NOT NULL, accuracy REAL, loss REAL,
  items INTEGER NOT NULL, correct INTEGER NOT NULL, epochs INTEGER NOT NULL, steps INTEGER NOT NULL, seconds REAL NOT NULL,
  train_seconds REAL NOT NULL, prefix_seconds REAL NOT NULL, prefix_blocks INTEGER NOT NULL, weights_hash TEXT NOT NULL,
  weights_file TEXT NOT NULL, layer_table TEXT NOT NULL, proof TEXT NOT NULL, curve TEXT NOT NULL, "commit" TEXT NOT NULL,
  finished TEXT NOT NULL) WITHOUT ROWID;
)sql";

constexpr const char* kResultColumns =
    "key, source_key, identity, status, accuracy, loss, items, correct, epochs, steps, seconds, train_seconds, "
    "prefix_seconds, prefix_blocks, weights_hash, weights_file, layer_table, proof, curve, \"commit\", finished";

[[noreturn]] void fail(sqlite3* db, const std::string& what) {
  const int code = sqlite3_errcode(db);
  const std::string text = fmt::format("{}: {}", what, sqlite3_errmsg(db));
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) throw LoadError(text);
  if (code == SQLITE_FULL || code == SQLITE_IOERR) throw ConfigError(text + " (the cell is not recorded; nothing else is lost)");
  throw ConfigError(text);
}

// A prepared statement; values are bound and columns read in order.
class Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) : db_(db) {
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK) fail(db, "store");
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;

  Statement& operator<<(const std::string& v) {
    return bound(sqlite3_bind_text(statement_, ++bind_, v.data(), int(v.size()), SQLITE_TRANSIENT));
  }
  Statement& operator<<(int64_t v) { return bound(sqlite3_bind_int64(statement_, ++bind_, v)); }
  Statement& operator<<(double v) { return bound(sqlite3_bind_double(statement_, ++bind_, v)); }
  Statement& operator<<(const std::optional<double>& v) { return v ? *this << *v : bound(sqlite3_bind_null(statement_, ++bind_)); }

  bool next() {  // to the next row
    column_ = 0;
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail(db_, "store");
    return code == SQLITE_ROW;
  }
  void run() {
    next();
    sqlite3_reset(statement_);
    bind_ = 0;
  }
  Statement& operator>>(std::string& v) {
    const auto* p = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column_));
    v.assign(p ? p : "", size_t(sqlite3_column_bytes(statement_, column_++)));
    return *this;
  }
  Statement& operator>>(int64_t& v) {
    v = sqlite3_column_int64(statement_, column_++);
    return *this;
  }
  Statement& operator>>(double& v) {
    v = sqlite3_column_double(statement_, column_++);
    return *this;
  }
  Statement& operator>>(std::optional<double>& v) {
    if (sqlite3_column_type(statement_, column_) == SQLITE_NULL) v.reset(), ++column_;
    else *this >> v.emplace();
    return *this;
  }

 private:
  Statement& bound(int code) {
    if (code != SQLITE_OK) fail(db_, "store");
    return *this;
  }
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int bind_ = 0, column_ = 0;
};

std::string curve_text(const std::vector<transfer::EpochRecord>& curve) {
  nlohmann::json j = nlohmann::json::array();  // NaN becomes null
  for (const auto& e : curve) j.push_back({e.loss, e.accuracy});
  return j.dump();
}

std::vector<transfer::EpochRecord> curve_of(const std::string& text) {
  std::vector<transfer::EpochRecord> curve;
  const auto number = [](const nlohmann::json& v) { return v.is_number() ? v.get<double>() : std::nan(""); };
  try {
    for (const auto& e : nlohmann::json::parse(text)) curve.push_back({number(e.at(0)), number(e.at(1))});
  } catch (const nlohmann::json::exception& e) {
    throw LoadError(fmt::format("store: the training curve of a cell is damaged: {}", e.what()));
  }
  return curve;
}

void write(Statement& s, const Row& r) {
  const CellResult& c = r.result;
  s << r.key << r.source_key << r.identity << c.status << c.accuracy << c.loss << c.items << c.correct << c.epochs << c.steps
    << c.seconds << c.train_seconds << c.prefix_seconds << c.prefix_blocks << c.weights_hash << r.weights_file << c.layer_table
    << c.proof << curve_text(c.curve) << r.commit << r.finished;
}

void read(Statement& s, Row& r) {
  CellResult& c = r.result;
  std::string curve;
  s >> r.key >> r.source_key >> r.identity >> c.status >> c.accuracy >> c.loss >> c.items >> c.correct >> c.epochs >> c.steps >>
      c.seconds >> c.train_seconds >> c.prefix_seconds >> c.prefix_blocks >> c.weights_hash >> r.weights_file >> c.layer_table >>
      c.proof >> curve >> r.commit >> r.finished;
  c.curve = curve_of(curve);
}

void write(Statement& s, const CellLabel& l) {
  s << std::string(name(l.condition)) << l.cut << l.keep << l.source << l.target << l.partition << l.half << l.seed
    << l.images_per_class;
}

void read(Statement& s, CellLabel& l) {
  std::string condition;
  s >> condition >> l.cut >> l.keep >> l.source >> l.target >> l.partition >> l.half >> l.seed >> l.images_per_class;
  const auto known = condition_from_name(condition);
  check<LoadError>(known.has_value(), "store: no condition '{}'", condition);
  l.condition = *known;
}

constexpr const char* kLabelColumns = "condition, cut, keep, source, target, partition, half, seed, images_per_class";

std::string qualified(const char* columns, const char* table) {
  std::string s;
  for (const char* p = columns; *p; ++p) {
    if (p == columns || p[-1] == ' ') s += fmt::format("{}.", table);
    s += *p;
  }
  return s;
}

}  // namespace

Store::Store(const std::filesystem::path& out, Mode mode) : folder_(out) {
  try {
    open(mode);
  } catch (...) {
    sqlite3_close(db_);
    if (lock_ >= 0) ::close(lock_);
    throw;
  }
}

void Store::open(Mode mode) {
  const std::string file = (folder_ / "study.sqlite").string();
  std::error_code error;
  if (mode == Mode::read) {
    check<ConfigError>(std::filesystem::exists(file, error), "{}: there is no study (expected the file study.sqlite in it)",
                       folder_.string());
  } else {
    std::filesystem::create_directories(folder_, error);
    check<ConfigError>(!error && std::filesystem::is_directory(folder_), "{}: the folder cannot be made: {}", folder_.string(),
                       error ? error.message() : "it is a file");
    const std::string lock = (folder_ / "lock").string();
    lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    check<ConfigError>(lock_ >= 0, "{}: cannot be written: {}", folder_.string(), std::strerror(errno));
    check<ConfigError>(::flock(lock_, LOCK_EX | LOCK_NB) == 0, "{}: another process is running a study in this folder",
                       folder_.string());
  }
  const bool fresh = !std::filesystem::exists(file, error) || std::filesystem::file_size(file, error) == 0;
  // A reader opens for writing too (where the file allows it): it may have to roll back the commit that a kill cut short.
  const int flags = SQLITE_OPEN_READWRITE | (mode == Mode::write ? SQLITE_OPEN_CREATE : 0);
  if (sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) != SQLITE_OK) fail(db_, file);
  sqlite3_busy_timeout(db_, 30000);
  int64_t application = 0, version = 0;
  std::string damage;
  try {
    if (mode == Mode::write) execute("PRAGMA synchronous = FULL");
    if (fresh && mode == Mode::write) {
      execute("BEGIN IMMEDIATE");
      execute(kSchema);
      execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT", kApplicationId, kSchemaVersion).c_str());
    }
    const auto pragma = [&](const char* sql, auto& value) {
      Statement s(db_, sql);
      if (s.next()) s >> value;
    };
    pragma("PRAGMA application_id", application);
    pragma("PRAGMA user_version", version);
    if (application == kApplicationId) pragma("PRAGMA quick_check(1)", damage);
  } catch (const LoadError& e) {
    throw LoadError(fmt::format("{}: damaged, or no store of a study: {} (it is left as it is)", file, e.what()));
  }
  check<LoadError>(application == kApplicationId, "{}: not a store of a study (it is left as it is)", file);
  check<LoadError>(version == kSchemaVersion, "{}: written by another version of Graft: expected schema {}, got {}", file,
                   kSchemaVersion, version);
  check<LoadError>(damage == "ok", "{}: damaged: {} (it is left as it is)", file, damage);
}

Store::~Store() {
  sqlite3_close(db_);
  if (lock_ >= 0) ::close(lock_);
}

void Store::execute(const char* sql) const {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return;
  const std::string text = sqlite3_errmsg(db_);
  const int code = sqlite3_errcode(db_);
  if (!sqlite3_get_autocommit(db_)) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) throw LoadError("store: " + text);
  throw ConfigError(fmt::format("{}: the store cannot be written: {}", folder_.string(), text));
}

namespace {

// Commits at the end of a scope that was left without an exception.
template <class F>
void transaction(sqlite3* db, F&& body) {
  const auto run = [&](const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(db, "store");
  };
  run("BEGIN IMMEDIATE");
  try {
    body();
    run("COMMIT");
  } catch (...) {
    sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

}  // namespace

void Store::set_meta(const std::map<std::string, std::string>& facts) {
  transaction(db_, [&] {
    Statement s(db_, "INSERT OR REPLACE INTO meta(name, value) VALUES(?, ?)");
    for (const auto& [name, value] : facts) (s << name << value).run();
  });
}

std::map<std::string, std::string> Store::meta() const {
  std::map<std::string, std::string> facts;
  Statement s(db_, "SELECT name, value FROM meta");
  while (s.next()) {
    std::string name;
    s >> name >> facts[name];
  }
  return facts;
}

void Store::plan(const std::vector<std::pair<CellLabel, std::string>>& cells) {
  transaction(db_, [&] {
    Statement(db_, "DELETE FROM cells").run();
    Statement s(db_, fmt::format("INSERT INTO cells(position, {}, key) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", kLabelColumns));
    int64_t position = 0;
    for (const auto& [label, key] : cells) {
      s << position++;
      write(s, label);
      (s << key).run();
    }
  });
}

std::vector<std::pair<CellLabel, std::string>> Store::planned() const {
  std::vector<std::pair<CellLabel, std::string>> cells;
  Statement s(db_, fmt::format("SELECT {}, key FROM cells ORDER BY position", kLabelColumns));
  while (s.next()) {
    read(s, cells.emplace_back().first);
    s >> cells.back().second;
  }
  return cells;
}

void Store::commit(const Row& row) {
  step("begin");
  transaction(db_, [&] {
    step("insert");
    Statement s(
        db_, fmt::format("INSERT OR REPLACE INTO results({}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         kResultColumns));
    write(s, row);
    s.run();
    step("inserted");
  });
  step("committed");
}

std::vector<Row> Store::rows() const {
  std::vector<Row> rows;
  Statement s(db_, fmt::format("SELECT {}, {} FROM cells c JOIN results r ON r.key = c.key ORDER BY c.position",
                               qualified(kLabelColumns, "c"), qualified(kResultColumns, "r")));
  while (s.next()) {
    read(s, rows.emplace_back().label);
    read(s, rows.back());
  }
  return rows;
}

std::vector<Row> Store::results() const {
  std::vector<Row> rows;
  Statement s(db_, fmt::format("SELECT {} FROM results ORDER BY key", kResultColumns));
  while (s.next()) read(s, rows.emplace_back());
  return rows;
}

std::optional<Row> Store::result(const std::string& key) const {
  Statement s(db_, fmt::format("SELECT {} FROM results WHERE key = ?", kResultColumns));
  s << key;
  if (!s.next()) return {};
  Row row;
  read(s, row);
  return row;
}

std::string to_csv(const std::vector<Row>& rows) {
  std::string s = "condition,cut,keep,source,target,partition,half,seed,images_per_class,status,accuracy,loss,epochs,seconds\n";
  const auto field = [](const std::string& v) {
    if (v.find_first_of(",\"\n") == v.npos) return v;
    std::string quoted = "\"";
    for (char c : v) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
  };
  const auto number = [](const std::optional<double>& v) { return v ? fmt::format("{}", *v) : std::string(); };
  for (const Row& r : rows) {
    const CellLabel& l = r.label;
    s += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{:.3f}\n", name(l.condition), l.cut, l.keep, field(l.source),
                     field(l.target), field(l.partition), l.half, l.seed, l.images_per_class, r.result.status,
                     number(r.result.accuracy), number(r.result.loss), r.result.epochs, r.result.seconds);
  }
  return s;
}

}  // namespace graft::study
