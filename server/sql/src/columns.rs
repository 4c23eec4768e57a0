//! Expressions by the columns they use: which these are, and the same expression over other columns.

use crate::error::{Result, SqlError};
use operators::expr::{Expr, Literal};

/// The expression with every column replaced.
pub(crate) fn replace_columns(expr: &Expr, new: &mut impl FnMut(u32) -> Expr) -> Expr {
    let mut one = |expr: &Expr| Box::new(replace_columns(expr, new));
    match expr {
        Expr::ColumnAt(at) => new(*at),
        Expr::Column(_) | Expr::Literal(_) => expr.clone(),
        Expr::Negate(x) => Expr::Negate(one(x)),
        Expr::Not(x) => Expr::Not(one(x)),
        Expr::IsNull(x) => Expr::IsNull(one(x)),
        Expr::Cast(x, ty) => Expr::Cast(one(x), *ty),
        Expr::Arithmetic(op, l, r) => Expr::Arithmetic(*op, one(l), one(r)),
        Expr::Compare(op, l, r) => Expr::Compare(*op, one(l), one(r)),
        Expr::NullIf(l, r) => Expr::NullIf(one(l), one(r)),
        Expr::Like(x, pattern, ignore_case) => Expr::Like(one(x), one(pattern), *ignore_case),
        _ => replace_in_lists(expr, new),
    }
}

fn replace_in_lists(expr: &Expr, new: &mut impl FnMut(u32) -> Expr) -> Expr {
    let mut many =
        |list: &[Expr]| -> Vec<Expr> { list.iter().map(|expr| replace_columns(expr, new)).collect() };
    match expr {
        Expr::And(list) => Expr::And(many(list)),
        Expr::Or(list) => Expr::Or(many(list)),
        Expr::Coalesce(list) => Expr::Coalesce(many(list)),
        Expr::Call(name, list) => Expr::Call(name.clone(), many(list)),
        Expr::InList(x, list) => {
            let list = many(list);
            Expr::InList(Box::new(replace_columns(x, new)), list)
        }
        Expr::Case(conditions, values, otherwise) => {
            let (conditions, values) = (many(conditions), many(values));
            Expr::Case(conditions, values, Box::new(replace_columns(otherwise, new)))
        }
        other => unreachable!("{other:?} was replaced already"),
    }
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
        Expr::Column(_) | Expr::ColumnAt(_) | Expr::Literal(_) => 0,
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
