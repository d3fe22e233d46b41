//! The macros of `schemas` that need no parser: they keep an item as it stands, or make nothing of it.

use proc_macro::TokenStream;

/// Takes the place of `schemars`' derive, with its attribute, and derives nothing.
#[proc_macro_derive(JsonSchema, attributes(schemars))]
pub fn derive_nothing(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Leaves the item as it stands.
#[proc_macro_attribute]
pub fn kept(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Leaves the item out.
#[proc_macro_attribute]
pub fn left_out(_: TokenStream, _: TokenStream) -> TokenStream {
    TokenStream::new()
}
