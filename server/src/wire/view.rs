//! A session as its own statements see it.

use sql::{KeptCursor, KeptStatement, SessionView};

use super::session::Session;

impl SessionView for Session {
    fn number(&self) -> u32 {
        self.number
    }

    fn user(&self) -> &str {
        &self.who.name
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).ok().map(str::to_owned)
    }

    /// Portals of the protocol are cursors too; the one without a name is gone before it could be fetched from.
    fn cursors(&self) -> Vec<KeptCursor> {
        let mut cursors = self.cursors.list();
        let portals = self.portals.iter().filter(|(name, _)| !name.is_empty());
        cursors.extend(portals.map(|(name, portal)| KeptCursor {
            name: name.to_owned(),
            statement: portal.statement.sql().to_owned(),
            is_held: false,
            is_binary: false,
            made: portal.made,
        }));
        cursors
    }

    fn statements(&self) -> Vec<KeptStatement> {
        let named = self.statements.iter().filter(|(name, _)| !name.is_empty());
        let kept = named.map(|(name, named)| KeptStatement {
            name: name.to_owned(),
            statement: named.text.to_string(),
            made: named.made,
            parameters: named.statement.prepared.parameters.clone(),
            is_from_sql: named.is_from_sql,
        });
        kept.collect()
    }
}
