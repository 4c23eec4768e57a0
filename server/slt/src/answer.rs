//! What a database answers, whatever way it is reached.

/// A database that takes statements.
pub trait Connection {
    /// Runs one statement.
    fn run(&mut self, sql: &str) -> Result<Answer, Failure>;

    /// Brings a materialised view up to date, where it is not by itself.
    fn refresh(&mut self, _view: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// A statement was carried out.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The types of the columns; none for what has no result.
    pub kinds: Vec<Kind>,
    /// The rows as texts, NULL being none.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that were written.
    pub count: u64,
}

/// A statement was refused.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The five characters that say why.
    pub sqlstate: String,
    /// The same for people.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}) {}", self.sqlstate, self.message)
    }
}

/// The type of a column as a letter, an array's small; `?` for what has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub char);

/// PostgreSQL's number of a type, that of an array of it, and the letter.
const KINDS: &[(u32, u32, char)] = &[
    (16, 1000, 'B'),
    (21, 1005, 'S'),
    (23, 1007, 'I'),
    (20, 1016, 'L'),
    (700, 1021, 'F'),
    (701, 1022, 'D'),
    (1700, 1231, 'N'),
    (25, 1009, 'T'),
    (1043, 1015, 'V'),
    (1042, 1014, 'C'),
    (17, 1001, 'Y'),
    (1082, 1182, 'A'),
    (1114, 1115, 'M'),
    (1184, 1185, 'Z'),
    (1186, 1187, 'P'),
    (2950, 2951, 'U'),
    (3802, 3807, 'J'),
];

impl Kind {
    /// A numeric without a scale.
    pub const BARE_NUMERIC: Kind = Kind('R');

    /// The letter of a type: `N` is a numeric with a scale, `R` one without, `S`, `I` and `L` are integers of 2, 4 and 8
    /// bytes, `F` and `D` floats of 4 and 8, `V` a varchar, `C` a char, `Y` bytes, `A` a date, `M` a timestamp, `Z` one
    /// with time zone, `P` an interval.
    pub fn of(oid: u32, modifier: i32) -> Kind {
        let known = KINDS.iter().find(|kind| kind.0 == oid || kind.1 == oid);
        match known {
            Some((1700, _, _)) if oid == 1700 && modifier < 0 => Kind::BARE_NUMERIC,
            Some((own, _, letter)) if *own == oid => Kind(*letter),
            Some((_, _, letter)) => Kind(letter.to_ascii_lowercase()),
            None => Kind('?'),
        }
    }
}

impl sqllogictest::ColumnType for Kind {
    fn from_char(letter: char) -> Option<Self> {
        Some(Kind(letter))
    }

    fn to_char(&self) -> char {
        self.0
    }
}
