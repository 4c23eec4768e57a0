//! The tables and views of the demo, as a user would write them: one file of SQL.

/// The file.
pub const SQL: &str = include_str!("flights.sql");

/// What the file defines.
#[cfg(test)]
pub fn catalog() -> sql::Catalog {
    use sql::{Bound, Catalog, Definition};
    let mut catalog = Catalog::new();
    for statement in sql::parse(SQL).expect("the file is sound") {
        let bound = sql::bind(&catalog, &statement, &[]).map(|prepared| prepared.bound);
        match bound.unwrap_or_else(|error| panic!("{error:?}")) {
            Bound::Define(Definition::Entry(entry)) => catalog.apply(&entry).expect("nobody else defines"),
            other => panic!("the file only defines, but has {other:?}"),
        }
    }
    catalog
}

#[test]
fn the_readme_shows_a_view_as_it_is() {
    let readme = include_str!("../../../README.md");
    let start = readme.find("-- The last flights").expect("it has a view of the demo");
    let length = readme[start..].find("\n\n").expect("something follows");
    assert!(SQL.contains(&readme[start..start + length]), "{}", &readme[start..start + length]);
}
