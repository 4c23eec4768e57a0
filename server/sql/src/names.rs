//! Names: unquoted ones are folded to small letters, and the only schema is `public`.

use crate::error::{Result, SqlError};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Spanned};

/// The name that an identifier means.
pub(crate) fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The name of a new object or column.
pub(crate) fn new_name(ident: &Ident) -> Result<String> {
    let name = fold(ident);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(|c: char| c.is_control()) {
        return Err(SqlError::new("42602", format!("{name:?} cannot be a name"))
            .hint(format!("A name has between 1 and {NAME_BYTES_MAX} bytes and no control characters."))
            .at(ident.span));
    }
    Ok(name)
}

/// The last part of a name whose schema, if any, is `public`.
pub(crate) fn unqualified(name: &ObjectName) -> Result<&Ident> {
    let mut parts: Vec<&Ident> = Vec::with_capacity(name.0.len());
    for part in &name.0 {
        match part {
            ObjectNamePart::Identifier(ident) => parts.push(ident),
            ObjectNamePart::Function(_) => return Err(SqlError::unsupported(format!("the name {name}"))),
        }
    }
    let last = parts.pop().ok_or_else(|| SqlError::syntax("a name is missing"))?;
    match parts.as_slice() {
        [] => Ok(last),
        [schema] if fold(schema) == "public" => Ok(last),
        _ => {
            let schema: Vec<String> = parts.iter().map(|part| fold(part)).collect();
            Err(SqlError::new("3F000", format!("schema {:?} does not exist", schema.join(".")))
                .hint("The only schema is public.")
                .at(name.span()))
        }
    }
}

/// The name of an object that is there.
pub(crate) fn object_name(name: &ObjectName) -> Result<String> {
    unqualified(name).map(fold)
}
