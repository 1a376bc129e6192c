use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

/// The only path that generated code names, under the name that the user's manifest gives the runtime.
///
/// Where the manifest does not tell, as for a build without cargo or a crate that has the runtime through another one,
/// it is taken by its own name; so it is in the runtime itself, whose examples and tests see it from outside.
pub(crate) fn private() -> TokenStream {
    let name = match crate_name("cratestack-runtime") {
        Ok(FoundCrate::Name(name)) => syn::parse_str::<Ident>(&name).ok(),
        Ok(FoundCrate::Itself) | Err(_) => None,
    };
    name.map_or_else(|| quote!(::cratestack_runtime::__private), |name| quote!(::#name::__private))
}
