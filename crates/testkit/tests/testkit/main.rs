//! What holds for the workspace as a whole.

mod architecture;
mod order;
mod shell_blocks;
mod tidy;
