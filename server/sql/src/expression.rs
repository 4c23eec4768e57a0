//! From SQL's expressions to the engine's.

use crate::aggregate::Grouping;
use crate::columns::check_copied;
use crate::error::{Result, SqlError};
use crate::function;
use crate::interval;
use crate::parameters::{Parameters, parameter};
use crate::scope::Scope;
use crate::sql_type::{Element, SqlType};
use crate::text;
use crate::typed::{Ty, Typed, cast, limit, printed, unify};
use operators::expr::{ArithmeticOp, CompareOp, Expr, Literal, call, case, coalesce, lit};
use sqlparser::ast::{
    self, AccessExpr, BinaryOperator, CaseWhen, Expr as Ast, Spanned, Subscript, TypedString, UnaryOperator,
    Value,
};

/// Binds expressions over the columns of a scope.
#[derive(Clone, Copy)]
pub(crate) struct Binder<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) parameters: &'a Parameters,
    /// Where rows are groups: columns are then those of the group, and aggregates have a value.
    pub(crate) grouping: Option<&'a Grouping<'a>>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope, parameters: &'a Parameters) -> Self {
        Binder { scope, parameters, grouping: None }
    }

    /// The expression with its type.
    pub(crate) fn bind(&self, ast: &Ast) -> Result<Typed> {
        if let Some(grouping) = self.grouping
            && let Some(found) = grouping.find(ast, self.parameters)?
        {
            return Ok(found);
        }
        self.bind_node(ast).map_err(|error| error.at(ast.span()))
    }

    /// The expression, of type `ty`.
    pub(crate) fn bind_as(&self, ast: &Ast, ty: SqlType) -> Result<Expr> {
        let typed = self.bind(ast)?;
        typed.convert(ty, self.parameters).map_err(|error| error.at(ast.span()))
    }

    /// A condition.
    pub(crate) fn condition(&self, ast: &Ast) -> Result<Expr> {
        let typed = self.bind(ast)?;
        match typed.known() {
            None | Some(SqlType::Boolean) => typed.convert(SqlType::Boolean, self.parameters),
            Some(other) => {
                Err(SqlError::types(format!("a condition must be boolean, not {other}")).at(ast.span()))
            }
        }
    }

    fn bind_node(&self, ast: &Ast) -> Result<Typed> {
        match ast {
            Ast::Identifier(name) => self.scope.column(None, name),
            Ast::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] | [_, table, name] => self.scope.column(Some(table), name),
                _ => Err(SqlError::unsupported(format!("the name {ast}"))),
            },
            Ast::Nested(inner) => self.bind(inner),
            Ast::Value(value) => self.value(&value.value),
            Ast::TypedString(TypedString { data_type, value, .. }) => {
                let ty = SqlType::from_ast(data_type)?;
                let Value::SingleQuotedString(text) = &value.value else {
                    return Err(SqlError::unsupported(format!("the constant {ast}")));
                };
                Ok(Typed::new(Expr::Literal(text::parse(ty, text)?), ty))
            }
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right),
            Ast::Cast { expr, data_type, format: None, .. } => {
                let ty = SqlType::from_ast(data_type)?;
                cast(self.bind(expr)?, ty, self.parameters)
            }
            Ast::Function(function) => function::bind(self, function),
            _ => self.bind_predicate(ast),
        }
    }

    fn bind_predicate(&self, ast: &Ast) -> Result<Typed> {
        let truth = |expr| Ok(Typed::new(expr, SqlType::Boolean));
        match ast {
            Ast::IsNull(x) | Ast::IsUnknown(x) => truth(self.settled(x)?.is_null()),
            Ast::IsNotNull(x) | Ast::IsNotUnknown(x) => truth(self.settled(x)?.is_not_null()),
            Ast::IsTrue(x) => truth(coalesce([self.condition(x)?, lit(false)])),
            Ast::IsNotTrue(x) => truth(coalesce([self.condition(x)?, lit(false)]).not()),
            Ast::IsFalse(x) => truth(coalesce([self.condition(x)?, lit(true)]).not()),
            Ast::IsNotFalse(x) => truth(coalesce([self.condition(x)?, lit(true)])),
            Ast::IsDistinctFrom(a, b) => self.compare(CompareOp::Distinct, a, b),
            Ast::IsNotDistinctFrom(a, b) => self.compare(CompareOp::NotDistinct, a, b),
            Ast::InList { expr, list, negated } => {
                let all =
                    std::iter::once(&**expr).chain(list).map(|e| self.bind(e)).collect::<Result<_>>()?;
                let unified = unify("IN", all, self.parameters);
                let (all, ty) = unified.map_err(|error| match error.sqlstate {
                    "42804" => SqlError { sqlstate: "42883", ..error },
                    _ => error,
                })?;
                let mut all: Vec<Expr> = all.into_iter().map(|expr| interval::length(expr, ty)).collect();
                let input = all.remove(0);
                truth(negate(input.in_list(all), *negated))
            }
            Ast::Between { expr, negated, low, high } => {
                check_copied(&self.bind(expr)?.expr)?;
                let low = self.compare(CompareOp::Ge, expr, low)?.expr;
                let high = self.compare(CompareOp::Le, expr, high)?.expr;
                truth(negate(low.and(high), *negated))
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                truth(negate(self.like(expr, pattern, escape_char.as_deref(), false)?, *negated))
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                truth(negate(self.like(expr, pattern, escape_char.as_deref(), true)?, *negated))
            }
            Ast::SimilarTo { negated, expr, pattern, escape_char: None } => {
                let sides = [self.bind_as(expr, SqlType::Text)?, self.bind_as(pattern, SqlType::Text)?];
                truth(negate(call("similar_to", sides), *negated))
            }
            Ast::Array(array) => self.array(&array.elem),
            Ast::CompoundFieldAccess { root, access_chain } => self.subscript(root, access_chain),
            Ast::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                let Ast::Array(array) = unnested(right) else {
                    return self.any(left, right);
                };
                let (left, list) = (left.clone(), array.elem.clone());
                self.bind_predicate(&Ast::InList { expr: left, list, negated: false })
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            _ => crate::special::bind_special(self, ast),
        }
    }

    /// `ARRAY[...]`
    fn array(&self, elements: &[Ast]) -> Result<Typed> {
        let elements = elements.iter().map(|ast| self.bind(ast)).collect::<Result<_>>()?;
        let (elements, ty) = unify("ARRAY", elements, self.parameters)?;
        let element = element_of(ty)?;
        let mut parts = vec![lit("{")];
        for (number, expr) in elements.into_iter().enumerate() {
            let text = printed(Typed::new(expr, ty), self.parameters)?;
            parts.extend((number > 0).then(|| lit(",")));
            parts.push(coalesce([call("array_quote", [text]), lit("NULL")]));
        }
        parts.push(lit("}"));
        Ok(Typed::new(call("concat", parts), SqlType::Array(element)))
    }

    /// `array[n]`
    fn subscript(&self, root: &Ast, chain: &[AccessExpr]) -> Result<Typed> {
        let [AccessExpr::Subscript(Subscript::Index { index })] = chain else {
            return Err(SqlError::unsupported("slices of arrays and fields of values"));
        };
        let (array, element) = self.typed_array(root)?;
        let text = call("array_get", [array, self.bind_as(index, SqlType::Integer)?]);
        self.element_of_text(text, element)
    }

    /// An element of an array as a value of its type.
    fn element_of_text(&self, text: Expr, element: Element) -> Result<Typed> {
        match element.ty() {
            ty @ (SqlType::Text | SqlType::Varchar(_) | SqlType::Uuid | SqlType::Jsonb) => {
                Ok(Typed::new(text, ty))
            }
            ty => cast(Typed::new(text, SqlType::Text), ty, self.parameters),
        }
    }

    /// A value of an array type.
    pub(crate) fn typed_array(&self, ast: &Ast) -> Result<(Expr, Element)> {
        let typed = self.bind(ast)?;
        match typed.known() {
            Some(SqlType::Array(element)) => Ok((typed.expr, element)),
            None => Ok((typed.convert(SqlType::Array(Element::Text), self.parameters)?, Element::Text)),
            Some(other) => Err(SqlError::types(format!("an array is needed, not {other}"))),
        }
    }

    /// `value = ANY (array)`
    fn any(&self, left: &Ast, right: &Ast) -> Result<Typed> {
        let left = self.bind(left)?;
        let right = self.bind(right)?;
        let element = match (right.known(), left.known()) {
            (Some(SqlType::Array(element)), _) => element,
            (None, Some(left)) => element_of(left)?,
            (None, None) => Element::Text,
            (Some(other), _) => {
                return Err(SqlError::new("42809", format!("ANY takes an array, not {other}")));
            }
        };
        let array = right.convert(SqlType::Array(element), self.parameters)?;
        let ty = left.known().and_then(|ty| ty.bare().common(element.ty().bare())).unwrap_or(element.ty());
        let wanted = Typed::new(left.convert(ty, self.parameters)?, ty);
        // Elements compare as texts, which numbers of one size do if they are integers.
        let plain = ty.is_integer() && element.ty().is_integer()
            || ty.is_text() && element.ty().is_text()
            || ty == element.ty() && !matches!(ty, SqlType::Real | SqlType::Numeric(_));
        if !plain {
            return Err(SqlError::unsupported(format!("= ANY of {ty} over {}[]", element.ty()))
                .hint("Write IN (...)."));
        }
        let contains = call("array_contains", [array, printed(wanted, self.parameters)?]);
        Ok(Typed::new(contains, SqlType::Boolean))
    }

    fn settled(&self, ast: &Ast) -> Result<Expr> {
        Ok(self.bind(ast)?.settle(self.parameters)?.0)
    }

    fn value(&self, value: &Value) -> Result<Typed> {
        match value {
            Value::Number(digits, false) => number(digits),
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text) => Ok(Typed::literal(Literal::Text(text.clone()))),
            Value::DollarQuotedString(text) => Ok(Typed::literal(Literal::Text(text.value.clone()))),
            Value::Boolean(value) => Ok(Typed::new(lit(*value), SqlType::Boolean)),
            Value::Null => Ok(Typed::literal(Literal::Null)),
            Value::Placeholder(name) => {
                let index = self.parameters.index(name)?;
                let ty = self.parameters.ty(index).map_or(Ty::Parameter(index), Ty::Known);
                Ok(Typed { expr: parameter(index), ty })
            }
            other => Err(SqlError::unsupported(format!("the constant {other}"))),
        }
    }

    fn unary(&self, op: UnaryOperator, operand: &Ast) -> Result<Typed> {
        match (op, operand) {
            (UnaryOperator::Not, _) => Ok(Typed::new(self.condition(operand)?.not(), SqlType::Boolean)),
            (UnaryOperator::Minus, Ast::Value(value)) if matches!(value.value, Value::Number(..)) => {
                number(&format!("-{}", value.value))
            }
            (UnaryOperator::Minus | UnaryOperator::Plus, _) => {
                let typed = self.bind(operand)?;
                let ty = typed.known().unwrap_or(SqlType::Double);
                if ty == SqlType::Interval && op == UnaryOperator::Minus {
                    return Ok(Typed::new(call("interval_negate", [typed.expr]), ty));
                }
                if !ty.is_number() {
                    return Err(no_operator(&op.to_string(), &typed, None));
                }
                let expr = typed.convert(ty, self.parameters)?;
                let minus = op == UnaryOperator::Minus;
                let narrow = matches!(ty, SqlType::SmallInt | SqlType::Integer);
                Ok(Typed::new(
                    match (minus, narrow) {
                        (false, _) => expr,
                        (true, true) => limit(expr.neg(), ty),
                        (true, false) => expr.neg(),
                    },
                    ty.bare(),
                ))
            }
            (UnaryOperator::BitwiseNot, _) => {
                let typed = self.bind(operand)?;
                let ty = typed.known().filter(|ty| ty.is_integer()).unwrap_or(SqlType::Integer);
                Ok(Typed::new(call("bit_not", [typed.convert(ty, self.parameters)?]), ty))
            }
            _ => Err(SqlError::unsupported(format!("the operator {op}"))),
        }
    }

    fn binary(&self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Typed> {
        use BinaryOperator as B;
        let truth = |expr| Ok(Typed::new(expr, SqlType::Boolean));
        match op {
            B::And => truth(self.condition(left)?.and(self.condition(right)?)),
            B::Or => truth(self.condition(left)?.or(self.condition(right)?)),
            B::Eq => self.compare(CompareOp::Eq, left, right),
            B::NotEq => self.compare(CompareOp::Ne, left, right),
            B::Lt => self.compare(CompareOp::Lt, left, right),
            B::LtEq => self.compare(CompareOp::Le, left, right),
            B::Gt => self.compare(CompareOp::Gt, left, right),
            B::GtEq => self.compare(CompareOp::Ge, left, right),
            B::Plus => self.arithmetic(ArithmeticOp::Add, left, right),
            B::Minus => self.arithmetic(ArithmeticOp::Sub, left, right),
            B::Multiply => self.arithmetic(ArithmeticOp::Mul, left, right),
            B::Divide => self.arithmetic(ArithmeticOp::Div, left, right),
            B::Modulo => self.arithmetic(ArithmeticOp::Rem, left, right),
            B::PGExp => {
                let side = |ast| self.bind_as(ast, SqlType::Double);
                Ok(Typed::new(call("power", [side(left)?, side(right)?]), SqlType::Double))
            }
            B::StringConcat if self.is_json(left) || self.is_json(right) => {
                let sides = [self.bind_as(left, SqlType::Jsonb)?, self.bind_as(right, SqlType::Jsonb)?];
                Ok(Typed::new(call("json_concat", sides), SqlType::Jsonb))
            }
            B::StringConcat => {
                let side = |ast: &Ast| -> Result<Expr> {
                    let typed = self.bind(ast)?;
                    match typed.known() {
                        Some(SqlType::Array(_)) => Err(SqlError::unsupported("|| of arrays")),
                        Some(SqlType::Bytea) => Err(SqlError::unsupported("|| of bytea")),
                        Some(ty) if ty.is_text() => Ok(typed.expr),
                        Some(_) => Ok(cast(typed, SqlType::Text, self.parameters)?.expr),
                        None => typed.convert(SqlType::Text, self.parameters),
                    }
                };
                Ok(Typed::new(side(left)?.concat(side(right)?), SqlType::Text))
            }
            B::PGLikeMatch => truth(self.like(left, right, None, false)?),
            B::PGNotLikeMatch => truth(self.like(left, right, None, false)?.not()),
            B::PGILikeMatch => truth(self.like(left, right, None, true)?),
            B::PGNotILikeMatch => truth(self.like(left, right, None, true)?.not()),
            B::PGRegexMatch => truth(self.regex(left, right, "")?),
            B::PGRegexIMatch => truth(self.regex(left, right, "i")?),
            B::PGRegexNotMatch => truth(self.regex(left, right, "")?.not()),
            B::PGRegexNotIMatch => truth(self.regex(left, right, "i")?.not()),
            B::Arrow | B::LongArrow | B::HashArrow | B::HashLongArrow => self.json_part(left, op, right),
            B::AtArrow => self.json_test("json_contains", left, right, SqlType::Jsonb),
            B::ArrowAt => self.json_test("json_contains", right, left, SqlType::Jsonb),
            B::Question => self.json_test("json_has_key", left, right, SqlType::Text),
            B::QuestionPipe => self.json_test("json_has_any", left, right, SqlType::Array(Element::Text)),
            B::QuestionAnd => self.json_test("json_has_all", left, right, SqlType::Array(Element::Text)),
            B::BitwiseAnd => self.bits("bit_and", left, right),
            B::BitwiseOr => self.bits("bit_or", left, right),
            B::BitwiseXor | B::PGBitwiseXor => self.bits("bit_xor", left, right),
            B::PGBitwiseShiftLeft => self.bits("shift_left", left, right),
            B::PGBitwiseShiftRight => self.bits("shift_right", left, right),
            _ => Err(SqlError::unsupported(format!("the operator {op}"))),
        }
    }

    /// `text ~ pattern`; a constant pattern must be one.
    fn regex(&self, text: &Ast, pattern: &Ast, flags: &str) -> Result<Expr> {
        let text = self.bind_as(text, SqlType::Text)?;
        let pattern = self.bind_as(pattern, SqlType::Text)?;
        function::check_pattern(&pattern, flags)?;
        Ok(call("regexp_like", [text, pattern, lit(flags)]))
    }

    fn is_json(&self, ast: &Ast) -> bool {
        self.bind(ast).is_ok_and(|typed| typed.known() == Some(SqlType::Jsonb))
    }

    /// `json -> name`, `json ->> 0`, `json #> path`, `json #>> path`
    fn json_part(&self, json: &Ast, op: &BinaryOperator, place: &Ast) -> Result<Typed> {
        let json = self.bind_as(json, SqlType::Jsonb)?;
        let place = self.bind(place)?;
        let is_path = matches!(op, BinaryOperator::HashArrow | BinaryOperator::HashLongArrow);
        let (name, ty) = match place.known() {
            _ if is_path => ("json_path", SqlType::Array(Element::Text)),
            Some(ty) if ty.is_integer() => ("json_element", SqlType::Integer),
            _ => ("json_member", SqlType::Text),
        };
        let part = call(name, [json, place.convert(ty, self.parameters)?]);
        Ok(match op {
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow => {
                Typed::new(call("json_text", [part]), SqlType::Text)
            }
            _ => Typed::new(part, SqlType::Jsonb),
        })
    }

    fn json_test(&self, name: &str, json: &Ast, other: &Ast, ty: SqlType) -> Result<Typed> {
        let sides = [self.bind_as(json, SqlType::Jsonb)?, self.bind_as(other, ty)?];
        Ok(Typed::new(call(name, sides), SqlType::Boolean))
    }

    /// An operation on the bits of integers.
    fn bits(&self, name: &str, left: &Ast, right: &Ast) -> Result<Typed> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let given = [left.known(), right.known()];
        if given.iter().flatten().any(|ty| !ty.is_integer()) {
            return Err(no_operator(name, &left, Some(&right)));
        }
        let is_shift = name.starts_with("shift");
        let (pair, ty) = match (is_shift, left.known()) {
            (true, ty) => {
                let ty = ty.unwrap_or(SqlType::Integer);
                let pair =
                    [left.convert(ty, self.parameters)?, right.convert(SqlType::Integer, self.parameters)?];
                (pair.to_vec(), ty)
            }
            (false, _) => unify(name, vec![left, right], self.parameters)?,
        };
        let expr = call(name, pair);
        Ok(Typed::new(if name == "shift_left" { limit(expr, ty) } else { expr }, ty))
    }

    fn like(&self, input: &Ast, pattern: &Ast, escape: Option<&Ast>, ignore_case: bool) -> Result<Expr> {
        let is_default =
            |ast: &Ast| matches!(ast, Ast::Value(v) if v.value == Value::SingleQuotedString("\\".to_owned()));
        if escape.is_some_and(|escape| !is_default(escape)) {
            return Err(SqlError::unsupported("an ESCAPE other than '\\'"));
        }
        let input = self.bind_as(input, SqlType::Text)?;
        let pattern = self.bind_as(pattern, SqlType::Text)?;
        Ok(if ignore_case { input.ilike(pattern) } else { input.like(pattern) })
    }

    pub(crate) fn compare(&self, op: CompareOp, left: &Ast, right: &Ast) -> Result<Typed> {
        if let (Ast::Tuple(left), Ast::Tuple(right)) = (left, right)
            && matches!(op, CompareOp::Eq)
            && left.len() == right.len()
        {
            let parts = left.iter().zip(right).map(|(l, r)| Ok(self.compare(op, l, r)?.expr));
            return Ok(Typed::new(Expr::And(parts.collect::<Result<_>>()?), SqlType::Boolean));
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let (l, r) = (left.clone(), right.clone());
        let (mut pair, ty) = unify("=", vec![left, right], self.parameters).map_err(|error| {
            if l.known().is_some() && r.known().is_some() {
                return no_operator(symbol(op), &l, Some(&r));
            }
            error
        })?;
        let right = interval::length(pair.pop().expect("two went in"), ty);
        let left = interval::length(pair.pop().expect("two went in"), ty);
        Ok(Typed::new(Expr::Compare(op, Box::new(left), Box::new(right)), SqlType::Boolean))
    }

    fn arithmetic(&self, op: ArithmeticOp, left: &Ast, right: &Ast) -> Result<Typed> {
        self.arithmetic_on(op, self.bind(left)?, self.bind(right)?)
    }

    pub(crate) fn arithmetic_on(&self, op: ArithmeticOp, left: Typed, right: Typed) -> Result<Typed> {
        use ArithmeticOp::{Add, Sub};
        use SqlType::{Date, Integer};
        if op == Sub && (left.known(), right.known()) == (Some(SqlType::Jsonb), None)
            || left.known() == Some(SqlType::Jsonb) && right.known().is_some_and(SqlType::is_text)
        {
            let name = right.convert(SqlType::Text, self.parameters)?;
            return Ok(Typed::new(call("json_without", [left.expr, name]), SqlType::Jsonb));
        }
        if let Some(found) = interval::arithmetic(self, op, &left, &right)? {
            return Ok(found);
        }
        let sign = ["+", "-", "*", "/", "%"][op as usize];
        let wrong = no_operator(sign, &left, Some(&right));
        let other = |typed: &Typed, default| typed.known().unwrap_or(default);
        // A literal or parameter is taken for what the other side is.
        let (l, r) = (other(&left, other(&right, Integer)), other(&right, other(&left, Integer)));
        let (l, r, result) = match (op, l, r) {
            (Add | Sub, Date, r) if r.is_integer() => (Date, r, Date),
            (Add, l, Date) if l.is_integer() => (l, Date, Date),
            (Sub, Date, Date) => (Date, Date, Integer),
            (_, l, r) if l.is_number() && r.is_number() => {
                let common = l.common(r).expect("numbers have a common type").bare();
                (common, common, common)
            }
            _ => return Err(wrong),
        };
        let (left, right) = (left.convert(l, self.parameters)?, right.convert(r, self.parameters)?);
        let expr = Expr::Arithmetic(op, Box::new(left), Box::new(right));
        let narrow = matches!(result, SqlType::SmallInt | Integer | SqlType::Real);
        let can_leave = op != ArithmeticOp::Rem && l != Date;
        Ok(Typed::new(if narrow && can_leave { limit(expr, result) } else { expr }, result))
    }

    fn case(&self, operand: Option<&Ast>, branches: &[CaseWhen], otherwise: Option<&Ast>) -> Result<Typed> {
        if let Some(operand) = operand {
            check_copied(&self.bind(operand)?.expr)?;
        }
        let conditions: Vec<Expr> = branches
            .iter()
            .map(|when| match operand {
                Some(operand) => Ok(self.compare(CompareOp::Eq, operand, &when.condition)?.expr),
                None => self.condition(&when.condition),
            })
            .collect::<Result<_>>()?;
        let mut values: Vec<Typed> =
            branches.iter().map(|when| self.bind(&when.result)).collect::<Result<_>>()?;
        values.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Typed::literal(Literal::Null),
        });
        let (mut values, ty) = unify("CASE", values, self.parameters)?;
        let otherwise = values.pop().expect("the value otherwise was pushed");
        Ok(Typed::new(case(conditions.into_iter().zip(values), otherwise), ty))
    }
}

/// The element of arrays of this type.
pub(crate) fn element_of(ty: SqlType) -> Result<Element> {
    Element::of(ty).ok_or_else(|| SqlError::unsupported(format!("arrays of {ty}")))
}

fn unnested(ast: &Ast) -> &Ast {
    match ast {
        Ast::Nested(inner) => unnested(inner),
        other => other,
    }
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { expr.not() } else { expr }
}

fn symbol(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "=",
        CompareOp::Ne => "<>",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
        CompareOp::Distinct => "IS DISTINCT FROM",
        CompareOp::NotDistinct => "IS NOT DISTINCT FROM",
    }
}

fn no_operator(sign: &str, left: &Typed, right: Option<&Typed>) -> SqlError {
    let operands = match right {
        Some(right) => format!("{} {sign} {}", left.type_name(), right.type_name()),
        None => format!("{sign} {}", left.type_name()),
    };
    SqlError::new("42883", format!("operator does not exist: {operands}")).hint("Add a cast to one side.")
}

/// Integers are as small as they can be; with a point or an exponent they are numeric.
fn number(digits: &str) -> Result<Typed> {
    if let Ok(value) = digits.parse::<i64>() {
        let ty = if i32::try_from(value).is_ok() { SqlType::Integer } else { SqlType::BigInt };
        return Ok(Typed::new(lit(value), ty));
    }
    if let Some(value) = text::decimal(digits) {
        return Ok(Typed::new(Expr::Literal(Literal::from(value)), SqlType::Numeric(None)));
    }
    // Beyond what a numeric holds there are still doubles.
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Typed::new(lit(value), SqlType::Double)),
        _ => Err(SqlError::new("22003", format!("the number {digits} is out of range"))),
    }
}

/// The parts of a condition that must all be true.
pub(crate) fn conjuncts(ast: &Ast) -> Vec<&Ast> {
    match ast {
        Ast::Nested(inner) => conjuncts(inner),
        Ast::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}
