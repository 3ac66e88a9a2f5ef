// Streams and events, owned. A Context launches on the stream it is given: context.set_stream(stream.get()).
#pragma once
#include "kernels/runtime/cuda/driver.h"

namespace graft::cuda {

class Stream {
 public:
  explicit Stream(int device = current_device()) : driver_(driver(device)), handle_(driver_.create_stream()) {}
  ~Stream() { driver_.destroy_stream(handle_); }
  Stream(const Stream&) = delete;
  void* get() const { return handle_; }

 private:
  Driver& driver_;
  void* handle_;
};

class Event {
 public:
  explicit Event(int device = current_device()) : driver_(driver(device)), handle_(driver_.create_event()) {}
  ~Event() { driver_.destroy_event(handle_); }
  Event(const Event&) = delete;

  void record(void* stream) { driver_.record(handle_, stream); }
  void hold(void* stream) { driver_.wait(stream, handle_); }  // the stream, until what was recorded has run
  void wait() { driver_.finish(handle_); }                    // the caller, likewise
  double milliseconds_since(const Event& begin) { return driver_.milliseconds(begin.handle_, handle_); }

 private:
  Driver& driver_;
  void* handle_;
};

}  // namespace graft::cuda
