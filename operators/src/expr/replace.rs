//! The same expression over other leaves: columns that lie elsewhere, parameters that have got their values.

use super::{Expr, Literal};

impl Expr {
    /// The expression with each of its leaves (a column, a literal, a parameter) replaced by what `new` gives for it.
    pub fn with_leaves(&self, new: &mut impl FnMut(&Expr) -> Expr) -> Expr {
        let mut one = |expr: &Expr| Box::new(expr.with_leaves(new));
        match self {
            Expr::Column(_) | Expr::ColumnAt(_) | Expr::Literal(_) | Expr::Parameter(..) => new(self),
            Expr::Negate(x) => Expr::Negate(one(x)),
            Expr::Not(x) => Expr::Not(one(x)),
            Expr::IsNull(x) => Expr::IsNull(one(x)),
            Expr::Cast(x, ty) => Expr::Cast(one(x), *ty),
            Expr::Arithmetic(op, l, r) => Expr::Arithmetic(*op, one(l), one(r)),
            Expr::Compare(op, l, r) => Expr::Compare(*op, one(l), one(r)),
            Expr::NullIf(l, r) => Expr::NullIf(one(l), one(r)),
            Expr::Like(x, pattern, ignore_case) => Expr::Like(one(x), one(pattern), *ignore_case),
            Expr::And(list) => Expr::And(many(list, new)),
            Expr::Or(list) => Expr::Or(many(list, new)),
            Expr::Coalesce(list) => Expr::Coalesce(many(list, new)),
            Expr::Call(name, list) => Expr::Call(name.clone(), many(list, new)),
            Expr::InList(x, list) => {
                let x = one(x);
                Expr::InList(x, many(list, new))
            }
            Expr::Case(conditions, values, otherwise) => {
                let (conditions, values) = (many(conditions, new), many(values, new));
                Expr::Case(conditions, values, Box::new(otherwise.with_leaves(new)))
            }
        }
    }

    /// The expression with its parameters' values in their places. A number that has none stays.
    pub fn with_parameters(&self, value: &impl Fn(u32) -> Option<Literal>) -> Expr {
        self.with_leaves(&mut |leaf| match leaf {
            Expr::Parameter(number, ty) => match value(*number) {
                // A cast keeps the type that a NULL by itself would not have.
                Some(Literal::Null) => Expr::Literal(Literal::Null).cast(*ty),
                Some(literal) => Expr::Literal(literal),
                None => leaf.clone(),
            },
            other => other.clone(),
        })
    }
}

fn many(list: &[Expr], new: &mut impl FnMut(&Expr) -> Expr) -> Vec<Expr> {
    list.iter().map(|expr| expr.with_leaves(new)).collect()
}

#[cfg(test)]
mod tests {
    use crate::expr::{Expr, Literal, col_at};
    use crate::plan::column;
    use crate::value::Type;

    #[test]
    fn a_parameter_has_its_type_before_it_has_a_value() {
        let columns = [column("a", Type::Int)];
        let open = col_at(0).add(Expr::Parameter(3, Type::Int));
        assert_eq!(open.resolve(&columns).expect("it is typed").1, Type::Int);
        let closed = |value: Literal| {
            open.with_parameters(&|number| (number == 3).then(|| value.clone())).resolve(&columns)
        };
        assert_eq!(closed(Literal::Int(1)).expect("it is typed").1, Type::Int);
        assert_eq!(closed(Literal::Null).expect("it is typed").1, Type::Int);
        assert!(Expr::Parameter(0, Type::Text).add(1).resolve(&columns).is_err());
    }
}
