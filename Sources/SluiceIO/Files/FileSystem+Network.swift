import Glibc

/// What network file systems do that local ones don't.
extension FileSystem {
    /// Makes this machine ask anew what is in a folder.
    ///
    /// NFS remembers for up to a minute that a folder has no file of a name, or that it has one. It compares the folder with
    /// the server's when it is opened (close-to-open consistency: RFC 7530, section 10.3.1).
    public func refresh(_ folder: String) {
        let descriptor = retrying { Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Whether a name leads to an open file. A file that another machine has removed, and that is gone, is nowhere.
    func isFile(_ file: borrowing OpenFile, at path: String) throws(IOFailure) -> Bool {
        do throws(IOFailure) {
            let own = try file.status()
            guard let there = try status(of: path) else { return false }
            return there.inode == own.inode && there.device == own.device
        } catch {
            guard error.errno == ESTALE else { throw error }
            return false
        }
    }

    // MARK: Removal

    /// Removes a folder and its content, as far as `clearTree` can.
    public func removeTree(_ path: String) throws(IOFailure) { _ = try clearTree(path) }

    /// Removes a folder and its content. Symbolic links are removed, not followed.
    ///
    /// - Parameter last: a file in it that is removed after everything else.
    /// - Returns: whether all is gone. NFS can't remove a file that a process of this machine has open: it gets a name such
    ///   as `.nfs0123` until it is closed. Such files stay, with their folders, and then so does `last`.
    public func clearTree(_ path: String, last: String? = nil) throws(IOFailure) -> Bool {
        var isGone = true
        for name in try entries(of: path) where name != last {
            if try !clear("\(path)/\(name)") { isGone = false }
        }
        guard isGone else { return false }
        if let last {
            if try hasHeldFiles(path) { return false }
            try remove("\(path)/\(last)")
        }
        do throws(IOFailure) {
            try removeFolder(path)
        } catch {
            guard error.errno == ENOTEMPTY || error.errno == EEXIST, try hasHeldFiles(path) else { throw error }
            return false
        }
        return true
    }

    /// Removes a file, or a folder and its content.
    ///
    /// - Returns: whether all is gone; see `clearTree(_:last:)`.
    public func clear(_ path: String) throws(IOFailure) -> Bool {
        if isRealFolder(path) { return try clearTree(path) }
        do throws(IOFailure) {
            try remove(path)
        } catch {
            guard error.errno == EBUSY, Self.isHeld(Path.name(of: path)) else { throw error }
            return false
        }
        return true
    }

    /// Whether a name is one that NFS gives to a removed file that is still open.
    public static func isHeld(_ name: String) -> Bool { name.hasPrefix(".nfs") }

    private func hasHeldFiles(_ folder: String) throws(IOFailure) -> Bool {
        try entries(of: folder).contains(where: Self.isHeld)
    }
}
