//! A log's folder: creating it, opening it alone, mapping its segments, repairing its tail, adding segments.
//!
//! ```text
//! <parent>/<name>/            mode 0700, locked as long as the log is open
//!     MANIFEST                which segments are live
//!     00000001.segment        mode 0600, each locked through the very descriptor that is written through
//!     00000002.segment
//! ```
//!
//! **Created whole or not at all**: a new log is built as `<name>.new` and then renamed, so a folder without
//! a manifest is never a log that was about to be made, and is refused.
//!
//! **Alone.** The folder's lock keeps living processes apart. It does not keep out writes of a dead one: io_uring
//! requests outlive their process and land later. They hold the open file they go through, and with it the lock on
//! that segment; so after the folder's lock, the lock of every live segment is waited for, and only then is anything read.
//! Files that the manifest does not name are removed; late writes into those go nowhere. Only the one that was being prepared
//! is used again, filled anew, if nobody has its lock.
//!
//! **Prepared.** A segment becomes live after its zeros and its name are durable: it is created, filled, synced, and only
//! then adopted. That is a good 64 MiB of writing, so a live writer fills it a little at a time, beside its flushes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memmap2::{Advice, Mmap};

use crate::appender::{Limits, WINDOW_BYTES};
use crate::error::Error;
use crate::faults::Faults;
use crate::flush::FlushBuffer;
use crate::manifest::{MANIFEST, Manifest, sync_folder};
use crate::os;
use crate::scan::{LogStart, Scan, Tail, scan};
use crate::segment::{
    BLOCK_BYTES, FIRST_SEGMENT_BYTES, Identity, SEGMENT_BYTES, SEGMENT_BYTES_MAX, SegmentId, segment_header,
};

/// Zeros are written in pieces of this size where nobody waits beside: large enough for the disk's full speed.
const FILL_BYTES: usize = 256 << 10;
/// How often a lock that is held is tried again.
pub(crate) const LOCK_RETRY: Duration = Duration::from_millis(1);

/// How to open a log.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder in which the log's folder is.
    pub parent: PathBuf,
    /// The log's name, which is also its folder's.
    pub name: String,
    /// What the writer gathers and sends out at once.
    pub limits: Limits,
    /// Size of the first segment of a new log.
    pub first_segment_bytes: u64,
    /// Size of later segments: each is twice as large as the one before until it reaches this, so
    /// that a new log is never out of room before the next segment is ready.
    pub segment_bytes: u64,
    /// How long to wait for another process, living or dead, to let go of the log.
    pub lock_deadline: Duration,
    /// What shall go wrong, in tests.
    pub faults: Faults,
}

impl Options {
    /// The log `name` in the folder `parent`, with everything else as usual.
    #[must_use]
    pub fn new(parent: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            parent: parent.into(),
            name: name.into(),
            limits: Limits::default(),
            first_segment_bytes: FIRST_SEGMENT_BYTES,
            segment_bytes: SEGMENT_BYTES,
            lock_deadline: Duration::from_secs(10),
            faults: Faults::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

/// A live segment's file, locked.
#[derive(Debug)]
struct SegmentFile {
    id: SegmentId,
    file: File,
}

/// The folder of a log that this process alone has open.
#[derive(Debug)]
pub struct LogFolder {
    options: Options,
    path: PathBuf,
    manifest: Manifest,
    segments: Vec<SegmentFile>,
    /// Dropped last, after the segments' own locks.
    _lock: File,
}

impl LogFolder {
    /// Opens a log, and creates it first if there is none. Waits until no other process, living or dead, can write it.
    ///
    /// # Errors
    /// [`Error::InUse`] after the deadline; [`Error::Missing`], [`Error::Foreign`], [`Error::Version`], [`Error::Corrupt`]
    /// for what the manifest shows; [`Error::Io`], [`Error::NoRoom`]. Nothing is changed then.
    ///
    /// # Panics
    /// If the name is not a plain file name.
    pub fn open(options: &Options) -> Result<Self, Error> {
        assert!(
            !options.name.is_empty() && !options.name.contains(['/', '\n']) && !options.name.starts_with('.'),
            "a log's name is a file name"
        );
        let path = options.folder();
        if !path.exists() {
            create(options)?;
        }
        let deadline = Instant::now() + options.lock_deadline;
        let lock = File::open(&path).map_err(|error| Error::io("open", &path, error))?;
        wait_for_lock(&lock, &path, options, deadline)?;

        let missing = || Error::Missing { file: path.join(MANIFEST).display().to_string() };
        let manifest = Manifest::read(&path, &options.name)?.ok_or_else(missing)?;
        let mut segments = Vec::new();
        for id in (manifest.first.0..=manifest.last.0).map(SegmentId) {
            let file = open_segment(&path, id)?;
            wait_for_lock(&file, &path.join(id.file_name()), options, deadline)?;
            segments.push(SegmentFile { id, file });
        }
        remove_unnamed(&path, &manifest)?;
        Ok(Self { options: options.clone(), path, manifest, segments, _lock: lock })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the log was opened.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Maps all segments for reading. The mapping stays good while the log is written, for the records found in it.
    ///
    /// # Errors
    /// [`Error::Io`] if a segment cannot be mapped.
    pub fn map(&self) -> Result<Mapped, Error> {
        let mut maps = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            let path = self.path.join(segment.id.file_name());
            // Through a descriptor of its own: a mapping keeps its open file, and would keep the lock with it.
            let map = File::open(&path).and_then(|file| map_unless_empty(&file));
            maps.push((segment.id, map.map_err(|error| Error::io("map", &path, error))?));
        }
        Ok(Mapped { path: self.path.clone(), start: self.manifest.start, maps })
    }

    /// Makes the repairs and syncs that a scan has asked for.
    ///
    /// # Errors
    /// [`Error::Io`]; the repairs can then be made again by whoever opens the log next.
    pub fn repair(&self, tail: &Tail) -> Result<(), Error> {
        assert_eq!(tail.identity, self.manifest.start.identity, "a tail repairs the log it was read from");
        let zeros = FlushBuffer::zeros(FILL_BYTES);
        for repair in &tail.repairs {
            let (file, path) = self.segment(repair.segment);
            let end = repair.offset + repair.bytes;
            for offset in (repair.offset..end).step_by(FILL_BYTES) {
                let piece = usize::try_from(end - offset).unwrap_or(usize::MAX).min(FILL_BYTES);
                let zeros = zeros.bytes().get(..piece).expect("a piece is at most the whole");
                file.write_all_at(zeros, offset).map_err(|error| Error::io("repair", &path, error))?;
            }
        }
        for segment in &tail.syncs {
            let (file, path) = self.segment(*segment);
            file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
        }
        Ok(())
    }

    fn segment(&self, id: SegmentId) -> (&File, PathBuf) {
        let segment =
            self.segments.iter().find(|segment| segment.id == id).expect("only live segments are used");
        (&segment.file, self.path.join(id.file_name()))
    }

    /// Writes one flush through the descriptor held here, durably.
    pub(crate) fn write(&self, id: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.segment(id).0.write_at(bytes, offset)
    }

    /// Gives up the lock on a segment, to a writer that takes it through a descriptor of its own. The folder's lock
    /// keeps everybody else out meanwhile.
    pub fn release(&mut self, id: SegmentId) {
        self.segments.retain(|segment| segment.id != id);
    }

    /// The size for the next segment if it must have at least `least` bytes and the last one has `last`.
    ///
    /// # Panics
    /// If no flush can need a segment of that size.
    #[must_use]
    pub fn next_segment_bytes(&self, least: u64, last: u64) -> u64 {
        let usual = (last * 2).min(self.options.segment_bytes);
        let size = usual.max(least).next_multiple_of(BLOCK_BYTES);
        assert!(size <= SEGMENT_BYTES_MAX, "no flush needs a segment of {size} bytes");
        size
    }

    /// Prepares a further segment and makes it live, all in one go.
    ///
    /// # Errors
    /// [`Error::NoRoom`], after which the same call can be made again; anything else means that the disk can no
    /// longer be trusted.
    ///
    /// # Panics
    /// If `id` is not the number after the newest segment's.
    pub(crate) fn add_segment(&mut self, id: SegmentId, size: u64) -> Result<(), Error> {
        let new = self.create_segment(id, size)?;
        self.no_room_or_done(fill(&new), id)?;
        self.adopt_segment(&new)
    }

    /// The first part of [`add_segment`](Self::add_segment): a file with its room reserved. It is for the caller to fill it as
    /// [`NewSegment::first_block`] says and to sync it.
    ///
    /// # Errors
    /// As [`add_segment`](Self::add_segment).
    pub(crate) fn create_segment(&self, id: SegmentId, size: u64) -> Result<NewSegment, Error> {
        assert_eq!(id, self.manifest.last.next(), "segments are numbered without gaps");
        let new = NewSegment {
            id,
            size,
            identity: self.manifest.start.identity,
            path: self.path.join(id.file_name()),
        };
        let created = self
            .options
            .faults
            .before_prepare()
            .map_err(|error| Error::io("prepare", &new.path, error))
            .and_then(|()| new.create());
        self.no_room_or_done(created, id)?;
        Ok(new)
    }

    /// The last part of [`add_segment`](Self::add_segment), once the segment is filled and synced: makes it live.
    ///
    /// # Errors
    /// As [`add_segment`](Self::add_segment).
    pub(crate) fn adopt_segment(&mut self, new: &NewSegment) -> Result<(), Error> {
        let manifest = Manifest { last: new.id, ..self.manifest.clone() };
        let adopted = sync_folder(&self.path).and_then(|()| manifest.replace(&self.path));
        self.no_room_or_done(adopted, new.id)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Opens and locks a segment that was added, to write it through this folder.
    pub(crate) fn hold_segment(&mut self, id: SegmentId) -> Result<(), Error> {
        let file = open_segment(&self.path, id)?;
        let deadline = Instant::now() + self.options.lock_deadline;
        wait_for_lock(&file, &self.path.join(id.file_name()), &self.options, deadline)?;
        self.segments.push(SegmentFile { id, file });
        Ok(())
    }

    /// Tells a full disk from other failures of the preparation of a segment.
    pub(crate) fn no_room_or_done(&self, done: Result<(), Error>, id: SegmentId) -> Result<(), Error> {
        match done {
            Err(Error::Io { source, .. }) if is_no_room(&source) => {
                // What was prepared of it only takes away more room. If it cannot be removed now, it is when the log is next
                // opened, as the manifest does not name it.
                let _ = fs::remove_file(self.path.join(id.file_name()));
                Err(Error::NoRoom { path: self.path.clone(), source })
            }
            other => other,
        }
    }
}

/// A segment that is not live yet.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment {
    pub(crate) id: SegmentId,
    pub(crate) size: u64,
    pub(crate) path: PathBuf,
    identity: Identity,
}

impl NewSegment {
    /// Makes the file, with its room reserved.
    fn create(&self) -> Result<(), Error> {
        let created = || -> io::Result<()> {
            let file = match self.left_behind()? {
                Some(file) => file,
                None => OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?,
            };
            os::allocate(&file, self.size)
        };
        created().map_err(|error| Error::io("prepare", &self.path, error))
    }

    /// The file that a dead process was preparing under this name. It is filled anew: to remove it would be simpler, but the
    /// discarding of its blocks can hold up all flushes of all shards for tens of milliseconds. Only where it does not fit, or some
    /// of its zeros are still on their way and would land over what is written later, it has to go.
    fn left_behind(&self) -> io::Result<Option<File>> {
        let file = match OpenOptions::new().write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() <= self.size && os::try_lock(&file)? {
            return Ok(Some(file));
        }
        fs::remove_file(&self.path)?;
        Ok(None)
    }

    /// Opens it to be filled, without the cache of the kernel, and locked as long as a write through it is on its way.
    pub(crate) fn open_to_fill(&self) -> Result<File, Error> {
        let file = open_direct(OpenOptions::new().write(true), &self.path, 0)
            .map_err(|error| Error::io("prepare", &self.path, error))?;
        match os::try_lock(&file) {
            Ok(true) => Ok(file),
            Ok(false) => Err(Error::InUse { path: self.path.clone(), waited_ms: 0 }),
            Err(error) => Err(Error::io("lock", &self.path, error)),
        }
    }

    /// What the segment starts with; all the rest is zero.
    pub(crate) fn first_block(&self) -> [u8; BLOCK_BYTES as usize] {
        segment_header(&self.identity, self.id, self.size)
    }
}

/// All segments of a log, mapped for reading.
#[derive(Debug)]
pub struct Mapped {
    path: PathBuf,
    start: LogStart,
    maps: Vec<(SegmentId, Option<Mmap>)>,
}

impl Mapped {
    /// Reads the log: see [`scan`].
    ///
    /// # Errors
    /// As [`scan`], with full paths.
    pub fn scan(&self) -> Result<Scan<'_>, Error> {
        let segments: Vec<(SegmentId, &[u8])> =
            self.maps.iter().map(|(id, map)| (*id, map.as_deref().unwrap_or_default())).collect();
        scan(&self.start, &segments).map_err(|error| error.in_folder(&self.path))
    }
}

/// An empty file cannot be mapped; the scan says what is wrong with it.
fn map_unless_empty(file: &File) -> io::Result<Option<Mmap>> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(None);
    }
    let map = os::map(file)?;
    // A short log and the search for its end lie within this; asked for at once, they come in one read instead of
    // page fault by page fault.
    let early = (WINDOW_BYTES + 2 * BLOCK_BYTES).min(length);
    map.advise_range(Advice::WillNeed, 0, usize::try_from(early).expect("a window fits memory"))?;
    Ok(Some(map))
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Builds a new log aside and gives it its name.
fn create(options: &Options) -> Result<(), Error> {
    let aside = options.parent.join(format!("{}.new", options.name));
    let no_room = |error: Error| match error {
        Error::Io { source, .. } if is_no_room(&source) => Error::NoRoom { path: options.folder(), source },
        other => other,
    };
    create_aside(options, &aside).map_err(no_room)?;
    fs::rename(&aside, options.folder()).map_err(|error| Error::io("rename", &aside, error))?;
    sync_folder(&options.parent)
}

fn create_aside(options: &Options, aside: &Path) -> Result<(), Error> {
    create_parents(&options.parent)?;
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", aside, error));
        }
        _ => {}
    }
    create_private(aside)?;
    let identity = random_identity().map_err(|error| Error::io("read", Path::new("/dev/urandom"), error))?;
    let first = SegmentId(1);
    options.faults.before_prepare().map_err(|error| Error::io("prepare", aside, error))?;
    let path = aside.join(first.file_name());
    let new = NewSegment { id: first, size: options.first_segment_bytes, identity, path };
    new.create()?;
    fill(&new)?;
    // The manifest is synced and so is the folder after it, which covers the segment's name too.
    Manifest { name: options.name.clone(), start: LogStart::new(identity), first, last: first }.replace(aside)
}

/// Creates the folder with all above it that are missing, and makes their names durable.
fn create_parents(folder: &Path) -> Result<(), Error> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    create_parents(above)?;
    create_private(folder)?;
    sync_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above })
}

fn create_private(folder: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(folder) {
        // Logs side by side may be created at once; the first of them makes what they share.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create", folder, error)),
        _ => Ok(()),
    }
}

fn random_identity() -> io::Result<Identity> {
    let mut identity = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut identity)?;
    Ok(Identity(identity))
}

/// Fills a segment that has been created, durably. The name is not yet durable.
fn fill(new: &NewSegment) -> Result<(), Error> {
    let file = new.open_to_fill()?;
    let filled = || -> io::Result<()> {
        let mut piece = FlushBuffer::zeros(FILL_BYTES);
        let header = new.first_block();
        piece
            .bytes_mut()
            .get_mut(..header.len())
            .expect("a piece is larger than a block")
            .copy_from_slice(&header);
        for offset in (0..new.size).step_by(FILL_BYTES) {
            let bytes = usize::try_from(new.size - offset).unwrap_or(usize::MAX).min(FILL_BYTES);
            file.write_all_at(piece.bytes().get(..bytes).expect("a piece is at most the whole"), offset)?;
            if offset == 0 {
                piece = FlushBuffer::zeros(FILL_BYTES);
            }
        }
        file.sync_all()
    };
    filled().map_err(|error| Error::io("prepare", &new.path, error))
}

/// Opens a file for direct I/O, or without it where the file system has none.
fn open_direct(options: &mut OpenOptions, path: &Path, flags: i32) -> io::Result<File> {
    match options.custom_flags(flags | libc::O_DIRECT).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => options.custom_flags(flags).open(path),
        other => other,
    }
}

/// Opens a live segment so that every write through it is durable when it returns.
fn open_segment(folder: &Path, id: SegmentId) -> Result<File, Error> {
    let path = folder.join(id.file_name());
    open_direct(OpenOptions::new().read(true).write(true), &path, libc::O_DSYNC).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Error::Missing { file: path.display().to_string() }
        } else {
            Error::io("open", &path, error)
        }
    })
}

fn wait_for_lock(file: &File, path: &Path, options: &Options, deadline: Instant) -> Result<(), Error> {
    while !os::try_lock(file).map_err(|error| Error::io("lock", path, error))? {
        if Instant::now() >= deadline {
            let waited_ms = u64::try_from(options.lock_deadline.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::InUse { path: path.to_owned(), waited_ms });
        }
        // The kernel can wait for a lock, but not with a deadline and without a signal.
        std::thread::sleep(LOCK_RETRY);
    }
    Ok(())
}

/// Removes segments that are not live, such as a removed one that came back. The next one, which a process was preparing
/// when it died, stays until it is prepared again: giving back its blocks takes the file system several milliseconds, which
/// nobody who wants to be restored quickly should wait for.
fn remove_unnamed(folder: &Path, manifest: &Manifest) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))?;
    for entry in entries {
        let name = entry.map_err(|error| Error::io("list", folder, error))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some(number) = name.strip_suffix(".segment").and_then(|number| number.parse().ok()) else {
            continue;
        };
        let kept = (manifest.first..=manifest.last.next()).contains(&SegmentId(number));
        if !kept && SegmentId(number).file_name() == name {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
    }
    Ok(())
}
