//! COMMENT ON: texts that tables, views and columns carry for those who look at them.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use crate::catalog::{Catalog, Change, ObjectKind};
use crate::define::Definition;
use crate::error::{Result, SqlError};
use crate::names::{fold, object_name};
use crate::write::column;
use sqlparser::ast::{CommentObject, ObjectName};
use std::collections::BTreeMap;

/// Longest comment, in bytes. A few pages.
const COMMENT_BYTES_MAX: usize = 8 << 10;
/// Bytes of all comments. They are put into the queries of those who look around, which have [`crate::parse::SQL_BYTES_MAX`].
const ALL_BYTES_MAX: usize = 256 << 10;

/// What a comment is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Commented {
    /// A table or view.
    pub object: String,
    /// The place of one of its columns; none for itself.
    pub column: Option<u16>,
}

/// All comments.
#[derive(Debug, Clone, Default)]
pub struct Comments(BTreeMap<Commented, String>);

impl Comments {
    /// Sets a comment, or takes it away.
    pub(crate) fn set(&mut self, on: &Commented, text: Option<&str>) {
        match text {
            Some(text) => drop(self.0.insert(on.clone(), text.to_owned())),
            None => drop(self.0.remove(on)),
        }
    }

    /// An object has another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let renamed = |mut on: Commented| {
            if on.object == from {
                to.clone_into(&mut on.object);
            }
            on
        };
        self.0 = std::mem::take(&mut self.0).into_iter().map(|(on, text)| (renamed(on), text)).collect();
    }

    /// Objects are gone.
    pub(crate) fn drop_of(&mut self, names: &[String]) {
        self.0.retain(|on, _| !names.contains(&on.object));
    }

    /// All of them, those of one object together.
    pub fn iter(&self) -> impl Iterator<Item = (&Commented, &str)> {
        self.0.iter().map(|(on, text)| (on, text.as_str()))
    }
}

/// COMMENT ON kind name IS text.
pub(crate) fn bind(
    catalog: &Catalog,
    (kind, name): (&CommentObject, &ObjectName),
    text: Option<&str>,
    sql: &str,
) -> Result<Definition> {
    let on = match kind {
        CommentObject::Column => column_of(catalog, name)?,
        CommentObject::Table | CommentObject::View | CommentObject::MaterializedView => {
            let object = catalog.object(&object_name(name)?)?;
            let (is_it, wanted) = match kind {
                CommentObject::Table => (matches!(object.kind, ObjectKind::Table { .. }), "table"),
                CommentObject::View => (matches!(object.kind, ObjectKind::View { .. }), "view"),
                _ => (object.kind == ObjectKind::MaterializedView, "materialized view"),
            };
            if !is_it {
                let message = format!("{:?} is not a {wanted}", object.name);
                return Err(
                    SqlError::new("42809", message).detail(format!("It is a {}.", object.kind_name()))
                );
            }
            Commented { object: object.name.clone(), column: None }
        }
        other => return Err(SqlError::unsupported(format!("COMMENT ON {other}"))),
    };
    // An empty one is none.
    let text = text.filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.len() > COMMENT_BYTES_MAX) {
        return Err(SqlError::new("54000", format!("a comment has at most {COMMENT_BYTES_MAX} bytes")));
    }
    let before: usize = catalog.comments().iter().map(|(_, text)| text.len()).sum();
    if before + text.map_or(0, str::len) > ALL_BYTES_MAX {
        return Err(SqlError::new(
            "54000",
            format!("all comments together have at most {ALL_BYTES_MAX} bytes"),
        ));
    }
    catalog.entry(sql, Change::Comment { on, text: text.map(str::to_owned) }, catalog.builder())
}

fn column_of(catalog: &Catalog, name: &ObjectName) -> Result<Commented> {
    let mut parts = name.0.clone();
    let last = parts.pop().filter(|_| !parts.is_empty());
    let Some(last) = last.as_ref().and_then(|part| part.as_ident()) else {
        return Err(SqlError::syntax("COMMENT ON COLUMN takes the name of a table and of its column"));
    };
    let object = catalog.object(&object_name(&ObjectName(parts))?)?;
    let at = column(object, &fold(last))?;
    let at = u16::try_from(at).expect("tables have fewer columns");
    Ok(Commented { object: object.name.clone(), column: Some(at) })
}
