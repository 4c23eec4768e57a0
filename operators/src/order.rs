//! The order of rows: by columns up or down, and by the whole row where those tie, so that no two different rows
//! are ever equal and arrival plays no part.

use crate::error::PlanError;
use crate::plan::Column;
use crate::row::Row;
use crate::value::Type;
use std::cmp::Ordering;

/// A column to order by.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Order {
    /// Its name.
    pub column: String,
    /// From the greatest to the least.
    pub descending: bool,
}

/// Orders by `column` from the least to the greatest; NULL comes last.
pub fn asc(column: impl Into<String>) -> Order {
    Order { column: column.into(), descending: false }
}

/// Orders by `column` from the greatest to the least; NULL comes first.
pub fn desc(column: impl Into<String>) -> Order {
    Order { column: column.into(), descending: true }
}

/// A total order of rows: the given columns, then the bytes of the whole row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowOrder {
    columns: Vec<OrderColumn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OrderColumn {
    index: usize,
    ty: Type,
    descending: bool,
}

impl RowOrder {
    /// Resolves the names of `order` among `columns`.
    pub fn resolve(order: &[Order], columns: &[Column]) -> Result<Self, PlanError> {
        let resolve = |order: &Order| {
            let index = crate::plan::column_index(columns, &order.column)?;
            Ok(OrderColumn { index, ty: columns[index].ty, descending: order.descending })
        };
        Ok(RowOrder { columns: order.iter().map(resolve).collect::<Result<_, PlanError>>()? })
    }

    /// Compares two rows. Equal means equal bytes.
    pub fn compare(&self, a: Row<'_>, b: Row<'_>) -> Ordering {
        for column in &self.columns {
            let order = a.datum(column.index, column.ty).order(&b.datum(column.index, column.ty));
            let order = if column.descending { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        a.bytes_all().cmp(b.bytes_all())
    }

    /// Whether only the whole row decides.
    pub fn is_trivial(&self) -> bool {
        self.columns.is_empty()
    }
}
