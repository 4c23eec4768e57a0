//! Expressions by the columns they use: which these are, and the same expression over other columns.

use crate::error::{Result, SqlError};
use operators::expr::{Expr, Literal};

/// The expression with every column replaced.
pub(crate) fn replace_columns(expr: &Expr, new: &mut impl FnMut(u32) -> Expr) -> Expr {
    expr.with_leaves(&mut |leaf| match leaf {
        Expr::ColumnAt(at) => new(*at),
        other => other.clone(),
    })
}

/// Largest expression that is put into another more than once. Nested, such copies double; this ends it early.
const COPIED_SIZE_MAX: usize = 1000;

/// Refuses to copy an expression that is very large.
pub(crate) fn check_copied(expr: &Expr) -> Result<()> {
    if size(expr) > COPIED_SIZE_MAX {
        return Err(SqlError::new("54001", "an expression is too large")
            .hint("Compute a part of it in a subquery or a view."));
    }
    Ok(())
}

fn size(expr: &Expr) -> usize {
    let all = |list: &[Expr]| list.iter().map(size).sum::<usize>();
    1 + match expr {
        Expr::Column(_) | Expr::ColumnAt(_) | Expr::Literal(_) | Expr::Parameter(..) => 0,
        Expr::Negate(x) | Expr::Not(x) | Expr::IsNull(x) | Expr::Cast(x, _) => size(x),
        Expr::Arithmetic(_, l, r) | Expr::Compare(_, l, r) | Expr::NullIf(l, r) | Expr::Like(l, r, _) => {
            size(l) + size(r)
        }
        Expr::And(list) | Expr::Or(list) | Expr::Coalesce(list) | Expr::Call(_, list) => all(list),
        Expr::InList(x, list) => size(x) + all(list),
        Expr::Case(conditions, values, otherwise) => all(conditions) + all(values) + size(otherwise),
    }
}

/// The columns that an expression uses.
pub(crate) fn columns_of(expr: &Expr) -> Vec<u32> {
    let mut found = Vec::new();
    replace_columns(expr, &mut |at| {
        found.push(at);
        Expr::Literal(Literal::Null)
    });
    found
}

/// The expression over rows that have `by` columns fewer in front.
pub(crate) fn shift_down(expr: &Expr, by: u32) -> Expr {
    replace_columns(expr, &mut |at| Expr::ColumnAt(at - by))
}
