//! Process managers as they run: tortured, thrown away and folded again, stuck, over thousands of instances.

mod clinic;
mod courses;
mod fan_out;
mod faults;
mod isolation;
mod letters;
mod refold;
mod round_trips;
mod torture;
mod world;
