//! The options of a materialised view.

use crate::catalog::ColumnDef;
use crate::define::named_column;
use crate::error::{Result, SqlError};
use crate::names::fold;
use sqlparser::ast::{CreateTableOptions, Expr as Ast, SqlOption, Value, ValueWithSpan};

/// What `WITH (key = 'a, b', ordered = true)` says.
#[derive(Default)]
pub(crate) struct Options {
    /// The columns of the key, if it is said.
    pub(crate) key: Option<Vec<u16>>,
    /// Whether ranges of keys are looked up.
    pub(crate) ordered: bool,
}

/// The options of a view with these columns.
pub(crate) fn view_options(options: &CreateTableOptions, columns: &[ColumnDef]) -> Result<Options> {
    let list = match options {
        CreateTableOptions::None => return Ok(Options::default()),
        CreateTableOptions::With(list) => list,
        other => return Err(SqlError::unsupported(other.to_string())),
    };
    let mut options = Options::default();
    for option in list {
        let SqlOption::KeyValue { key: name, value } = option else {
            return Err(SqlError::unsupported(format!("the option {option}")));
        };
        let wrong = |hint: &str| SqlError::unsupported(format!("the option {option}")).hint(hint);
        match fold(name).as_str() {
            "key" => {
                let Ast::Value(ValueWithSpan { value: Value::SingleQuotedString(list), .. }) = value else {
                    return Err(wrong("Write key = 'a, b'."));
                };
                let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
                options.key =
                    Some(names.map(|name| named_column(columns, name)).collect::<Result<Vec<u16>>>()?);
            }
            "ordered" => match value.to_string().trim_matches('\'').to_lowercase().as_str() {
                "true" | "on" | "1" => options.ordered = true,
                "false" | "off" | "0" => options.ordered = false,
                _ => return Err(wrong("Write ordered = true.")),
            },
            _ => {
                return Err(
                    SqlError::unsupported(format!("the option {name}")).hint("There are: key, ordered.")
                );
            }
        }
    }
    Ok(options)
}
