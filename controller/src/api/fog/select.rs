//! Chooses the rows of a list: those that fit, in the order and from the page that was asked for,
//! without ordering or looking at more than that takes.

use std::sync::Arc;

use super::page::Page;
use crate::state::Refusal;
use crate::state::class::Class;
use crate::state::field::Field;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::table::{Table, is_listed};
use crate::state::value::{fold, leading_number};

/// Rows of a page, and how many there are on all pages.
pub(super) type Selected<'t, C> = (Vec<&'t Arc<Row<C>>>, usize);

/// Which rows may be in a list.
pub(super) enum Wanted<'f, C: Class> {
    /// Every one, also those that FOG hides.
    All,
    /// Every one that FOG does not hide.
    Listed,
    /// Of those, the ones that fit.
    Fitting(&'f dyn Fn(&Row<C>) -> bool),
}

enum SortOrder<C: 'static> {
    /// By name without case, by id where there is no name.
    List,
    Id,
    Field {
        field: &'static Field<C>,
        secrets: bool,
    },
}

/// What a row has its place by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    /// Of a value as it is on the wire.
    pub(super) fn of(value: &str, is_number: bool) -> Self {
        if is_number {
            Self::Number(leading_number(value))
        } else {
            Self::Text(fold(value))
        }
    }
}

impl<C: Class> SortOrder<C> {
    /// A secret orders rows only for those who see it: the order tells what it is.
    fn of(page: &Page, scene: &Scene<'_>) -> Result<Self, Refusal> {
        match page.order_by.as_deref() {
            None => Ok(Self::List),
            Some("name") if C::NAMED => Ok(Self::List),
            Some("id") => Ok(Self::Id),
            Some(name) => C::FIELDS
                .iter()
                .find(|field| field.name == name && (!field.secret || scene.secrets))
                .map(|field| Self::Field {
                    field,
                    secrets: scene.secrets,
                })
                .ok_or_else(|| page.no_such_order(C::NAME)),
        }
    }

    fn key(&self, row: &C) -> Key {
        match self {
            Self::List if C::NAMED => Key::of(row.name(), false),
            Self::List | Self::Id => Key::Number(row.id().into()),
            Self::Field { field, secrets } if !secrets && field.hides(row) => {
                Key::of("", field.is_number())
            }
            Self::Field { field, .. } => Key::of(&field.show(row), field.is_number()),
        }
    }
}

/// Rows of a whole table.
pub(super) fn select<'t, C: Class>(
    scene: &Scene<'t>,
    page: &Page,
    wanted: &Wanted<'_, C>,
) -> Result<Selected<'t, C>, Refusal> {
    let table: &'t Table<C> = scene.tables.of::<C>();
    let order = SortOrder::<C>::of(page, scene)?;
    let walk = |skip: usize| match &order {
        SortOrder::Id => table.by_id(page.descending, skip),
        SortOrder::List => table.in_order(page.descending, skip),
        SortOrder::Field { .. } => table.in_order(false, skip),
    };
    let everything = matches!(wanted, Wanted::All)
        || (matches!(wanted, Wanted::Listed) && table.unlisted() == 0);
    if everything && !matches!(order, SortOrder::Field { .. }) {
        return Ok((
            walk(page.start)
                .take(page.length.unwrap_or(usize::MAX))
                .collect(),
            table.len(),
        ));
    }
    let rows = walk(0).filter(|row| match wanted {
        Wanted::All => true,
        Wanted::Listed => is_listed::<C>(row),
        Wanted::Fitting(fits) => is_listed::<C>(row) && fits(row),
    });
    Ok(match order {
        SortOrder::Field { .. } => page.cut_by(rows, |row| order.key(row)),
        SortOrder::List | SortOrder::Id => page.cut(rows),
    })
}

/// Of rows that come by id; those that FOG hides are left out.
pub(super) fn select_from<'t, C: Class>(
    scene: &Scene<'t>,
    page: &Page,
    rows: impl Iterator<Item = &'t Arc<Row<C>>>,
) -> Result<Selected<'t, C>, Refusal> {
    let order = SortOrder::<C>::of(page, scene)?;
    Ok(page.cut_by(rows.filter(|row| is_listed::<C>(row)), |row| order.key(row)))
}
