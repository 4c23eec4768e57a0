//! The disk side of a shard's log: writes the flushes that the shard's appender hands out, and prepares segments.
//!
//! The appender lives in the shard, which is free of I/O; this takes what it hands out to the disk and brings back what
//! has completed, whenever the shard's loop comes by ([`ShardLog::exchange`]).
//!
//! Segments are opened O_DIRECT and O_DSYNC, so a completed write is durable. A write that fails or is short ends the
//! log: a second attempt may succeed while the data is gone. A full disk shows while a segment is prepared, before
//! anything depends on it; that is tried again until there is room.

use super::park::Park;
use super::sys;
use glommio::io::{DmaFile, OpenOptions};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wal::{Appender, Error, Flush, FlushId, LogFolder, SegmentId, Tail};

/// How long to wait before a segment that found no room is prepared again.
const NO_ROOM_RETRY: Duration = Duration::from_millis(100);

/// The disk side of a log. Clones are the same one.
#[derive(Clone)]
pub(crate) struct ShardLog(Rc<Inner>);

struct Inner {
    path: PathBuf,
    park: Park,
    /// Used in a thread of its own while a segment is prepared.
    folder: Arc<Mutex<LogFolder>>,
    files: RefCell<BTreeMap<SegmentId, Rc<DmaFile>>>,
    /// Size of the newest segment.
    newest_bytes: Cell<u64>,
    /// What the appender has not been told yet.
    completed: RefCell<Vec<FlushId>>,
    prepared: Cell<Option<(SegmentId, u64)>>,
    preparing: Cell<bool>,
    failure: RefCell<Option<String>>,
    no_room: Cell<bool>,
    bytes: Cell<u64>,
    flushes: Cell<u64>,
}

impl ShardLog {
    /// Takes over a log that has been read to `tail`, after making its repairs.
    pub(crate) async fn start(mut folder: LogFolder, tail: &Tail, park: Park) -> Result<ShardLog, Error> {
        folder.repair(tail)?;
        let mut files = BTreeMap::new();
        let path = folder.path().to_owned();
        for (id, _) in tail.open_segments() {
            // The lock moves from the folder's descriptor to the one that is written through; the lock of the folder
            // itself keeps everybody else out meanwhile.
            folder.release(id);
            files.insert(id, Rc::new(open_segment(&path, id).await?));
        }
        let newest_bytes = tail.open_segments().last().expect("a log has a segment").1;
        Ok(ShardLog(Rc::new(Inner {
            path,
            park,
            folder: Arc::new(Mutex::new(folder)),
            files: RefCell::new(files),
            newest_bytes: Cell::new(newest_bytes),
            completed: RefCell::default(),
            prepared: Cell::new(None),
            preparing: Cell::new(false),
            failure: RefCell::default(),
            no_room: Cell::new(false),
            bytes: Cell::new(0),
            flushes: Cell::new(0),
        })))
    }

    /// Tells the appender what has happened, and prepares a segment if it wants one. Returns whether there was news.
    pub(crate) fn exchange(&self, appender: &mut Appender) -> bool {
        let mut completed = self.0.completed.borrow_mut();
        let news = !completed.is_empty();
        for id in completed.drain(..) {
            appender.flushed(id);
        }
        drop(completed);
        if news {
            self.close_left_segments(appender.current_segment());
        }
        if let Some((id, bytes)) = self.0.prepared.take() {
            appender.provide_segment(id, bytes);
        }
        self.prepare_if_wanted(appender);
        news
    }

    /// Sends a flush to the disk.
    pub(crate) fn write(&self, flush: Flush) {
        let file = self.0.files.borrow().get(&flush.segment).cloned();
        let file = file.expect("segments are open before they are provided");
        let inner = self.0.clone();
        glommio::spawn_local(async move {
            let (id, segment, bytes) = (flush.id, flush.segment, flush.bytes().len());
            match write_whole(&file, flush).await {
                Ok(()) => {
                    inner.completed.borrow_mut().push(id);
                    inner.bytes.set(inner.bytes.get() + bytes as u64);
                    inner.flushes.set(inner.flushes.get() + 1);
                    inner.park.wake();
                }
                Err(error) => inner.fail(&inner.path.join(segment.file_name()), &error),
            }
        })
        .detach();
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.failure.borrow().clone()
    }

    /// Whether the disk had no room for the next segment.
    pub(crate) fn no_room(&self) -> bool {
        self.0.no_room.get()
    }

    /// Bytes and flushes written.
    pub(crate) fn written(&self) -> (u64, u64) {
        (self.0.bytes.get(), self.0.flushes.get())
    }

    /// Closes the segments that have been left behind, once nothing is in flight to them.
    fn close_left_segments(&self, current: SegmentId) {
        let mut files = self.0.files.borrow_mut();
        let left = |(id, file): (&SegmentId, &Rc<DmaFile>)| *id < current && Rc::strong_count(file) == 1;
        let left: Vec<SegmentId> = files.iter().filter(|entry| left(*entry)).map(|(id, _)| *id).collect();
        for id in left {
            let file = files.remove(&id).expect("just found");
            glommio::spawn_local(async move {
                // Its flushes are durable; an error here concerns nobody.
                let _ = file.close_rc().await;
            })
            .detach();
        }
    }

    fn prepare_if_wanted(&self, appender: &Appender) {
        if self.0.preparing.get() || self.0.failure.borrow().is_some() {
            return;
        }
        let Some(least) = appender.wants_segment() else { return };
        self.0.preparing.set(true);
        let (inner, id) = (self.0.clone(), appender.next_segment());
        glommio::spawn_local(async move {
            inner.prepare(id, least).await;
            inner.preparing.set(false);
            inner.park.wake();
        })
        .detach();
    }
}

impl Inner {
    fn fail(&self, path: &Path, error: &io::Error) {
        self.failure.borrow_mut().get_or_insert_with(|| {
            format!(
                "{}: {error}; what was being written is in doubt until the log is read again",
                path.display()
            )
        });
        self.park.wake();
    }

    /// Prepares a segment, waiting while there is no room.
    async fn prepare(&self, id: SegmentId, least: u64) {
        loop {
            match self.prepare_once(id, least).await {
                Ok(bytes) => {
                    self.no_room.set(false);
                    self.newest_bytes.set(bytes);
                    return self.prepared.set(Some((id, bytes)));
                }
                Err(Error::NoRoom { .. }) => {
                    self.no_room.set(true);
                    self.park.wake();
                    glommio::timer::sleep(NO_ROOM_RETRY).await;
                }
                Err(other) => {
                    return self.fail(&self.path.join(id.file_name()), &io::Error::other(other.to_string()));
                }
            }
        }
    }

    async fn prepare_once(&self, id: SegmentId, least: u64) -> Result<u64, Error> {
        let (folder, newest_bytes) = (Arc::clone(&self.folder), self.newest_bytes.get());
        let prepared = glommio::executor().spawn_blocking(move || {
            let mut folder = folder.lock().expect("no thread panics with the folder");
            let bytes = folder.next_segment_bytes(least, newest_bytes);
            folder.add_segment(id, bytes).map(|()| bytes)
        });
        let bytes = prepared.await?;
        let file = open_segment(&self.path, id).await?;
        self.files.borrow_mut().insert(id, Rc::new(file));
        Ok(bytes)
    }
}

async fn write_whole(file: &DmaFile, flush: Flush) -> io::Result<()> {
    let (offset, wanted) = (flush.offset, flush.bytes().len());
    let mut buffer = file.alloc_dma_buffer(wanted);
    buffer.as_bytes_mut().copy_from_slice(flush.bytes());
    // Returns the memory to the appender's pool when the flush completes.
    drop(flush);
    let written = file.write_at(buffer, offset).await?;
    if written != wanted {
        let text = format!("short write of {written} of {wanted} bytes at offset {offset}");
        return Err(io::Error::new(io::ErrorKind::WriteZero, text));
    }
    Ok(())
}

/// Opens a segment so that every write is durable when it completes, and locks it through that very descriptor: requests
/// in flight keep it open, and so locked, even after this process is dead.
async fn open_segment(folder: &Path, id: SegmentId) -> Result<DmaFile, Error> {
    let path = folder.join(id.file_name());
    let io_error = |action, source| Error::Io { action, path: path.clone(), source };
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DSYNC).dma_open(&path).await;
    let file = opened.map_err(|error| io_error("open", error.into()))?;
    match sys::try_flock(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(Error::InUse { path, waited_ms: 0 }),
        Err(error) => Err(io_error("lock", error)),
    }
}
