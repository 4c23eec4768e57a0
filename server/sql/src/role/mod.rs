//! Roles: who may connect, and who may say so.
//!
//! A role is no owner and has no privileges: whoever is let in reads and writes everything, and superusers make, change and
//! drop roles. One role is there from the beginning; it cannot be dropped.
//!
//! Of a password only a [`Verifier`] is kept, which is made outside of this crate, since it takes random bytes. A statement is
//! bound to a [`RoleStatement`]; with the verifier it becomes an entry of the catalogue ([`RoleStatement::definition`]) whose
//! text has neither.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use std::fmt;

mod statement;
mod verifier;
mod words;

pub use statement::{Asker, Material, RoleStatement};
pub use verifier::Verifier;

pub(crate) use statement::{alter, create, drop};
pub(crate) use words::normalise;

/// The role that is there from the beginning.
pub const FIRST_ROLE: &str = "sakia";
/// Most roles of a database: each is a few hundred bytes in the memory of each front.
pub const ROLE_COUNT_MAX: usize = 10_000;

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Never given again; 0 is the first role's.
    pub number: u32,
    /// Whether it may connect.
    pub can_login: bool,
    /// Whether it may make, change and drop roles.
    pub is_superuser: bool,
    /// By which its password is checked, if it has one.
    pub verifier: Option<Verifier>,
}

/// Random bytes that nobody is shown.
#[derive(Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// What an entry does to the roles.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum RoleChange {
    /// A role that is new, or that replaces the one of its name.
    Put {
        /// As it is from now on.
        role: Role,
        /// Whether it must be new.
        is_new: bool,
        /// The first that comes is kept: see [`Roles::secret`].
        secret: Secret,
    },
    /// A role has another name.
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// These roles are gone.
    Drop(Vec<String>),
}

/// All roles.
#[derive(Debug, Clone)]
pub struct Roles {
    list: Vec<Role>,
    next_number: u32,
    secret: Option<Secret>,
}

impl Default for Roles {
    fn default() -> Self {
        let first = Role {
            name: FIRST_ROLE.to_owned(),
            number: 0,
            can_login: true,
            is_superuser: true,
            verifier: None,
        };
        Roles { list: vec![first], next_number: 1, secret: None }
    }
}

impl Roles {
    /// The roles in the order of their making, the first role first.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.list.iter()
    }

    /// The role of this name.
    pub fn find(&self, name: &str) -> Option<&Role> {
        self.list.iter().find(|role| role.name == name)
    }

    /// The role of this number, whatever it is called by now.
    pub fn numbered(&self, number: u32) -> Option<&Role> {
        self.list.iter().find(|role| role.number == number)
    }

    /// Whether clients must prove who they are: some role can log in with a password.
    pub fn ask_for_passwords(&self) -> bool {
        self.list.iter().any(|role| role.can_login && role.verifier.is_some())
    }

    /// Random bytes that stay the same for as long as the database does. From them comes what is answered to names that are no
    /// roles, so that they look like roles, always the same ones. None before the first password.
    pub fn secret(&self) -> Option<&[u8; 32]> {
        self.secret.as_ref().map(|secret| &secret.0)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|role| role.name == name)
    }

    /// Takes a change; false, and nothing has changed, if it does not fit.
    pub(crate) fn apply(&mut self, change: &RoleChange) -> bool {
        match change {
            RoleChange::Put { role, is_new, secret } => {
                match (self.place(&role.name), is_new) {
                    (Some(place), false) => self.list[place] = role.clone(),
                    (None, true) => {
                        self.list.push(role.clone());
                        self.next_number = self.next_number.max(role.number + 1);
                    }
                    _ => return false,
                }
                if role.verifier.is_some() {
                    self.secret.get_or_insert_with(|| secret.clone());
                }
            }
            RoleChange::Rename { from, to } => match (self.place(from), self.place(to)) {
                (Some(place), None) => to.clone_into(&mut self.list[place].name),
                _ => return false,
            },
            RoleChange::Drop(names) => {
                if names.iter().any(|name| self.find(name).is_none()) {
                    return false;
                }
                self.list.retain(|role| !names.contains(&role.name));
            }
        }
        assert_eq!(self.list.first().map(|role| role.number), Some(0), "the first role stays");
        true
    }
}
