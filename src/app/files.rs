//! Files that may be open at once: every socket is one, and many systems begin with a thousand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server has open beside its clients: the database, indexes, calls of models.
const OWN: u64 = 256;

/// Takes as many as the system allows this process, and says so when they are too few for `sockets`.
pub fn raise(sockets: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let (wanted, most) = (sockets as u64 + OWN, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
    if most < wanted {
        tracing::warn!(most, wanted, "fewer files may be open than `limits.sockets` may need; raise the limit (ulimit -n) or lower it");
    }
}
