//! Running the process managers: feed, fold, next step, command; timers; dead letters.
