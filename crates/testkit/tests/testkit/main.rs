//! What holds for the workspace as a whole.

mod architecture;
mod keys;
mod order;
mod shell_blocks;
mod tidy;
