//! One file per view: what it holds, its columns, its fold.
