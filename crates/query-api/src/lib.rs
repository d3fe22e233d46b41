//! The read side: views, history, replay, event streams.
