import Testing

@testable import SluicePipeline

/// Names of files given on the command line.
@Suite struct DefinitionFolderTests {
    /// The path that is opened, and the name that remains without the definition's folder.
    @Test(arguments: [
        // The definition in the same folder, below it, elsewhere.
        ("", "/w", "data/x", "data/x"), ("", "/w", "/w/data/x", "data/x"), ("", "/w", "/v/x", "/v/x"),
        ("deep/", "/w/deep", "deep/x", "deep/x"), ("deep/", "/w/deep", "data/x", "deep/../data/x"),
        ("./a/b/", "/w/a/b", "x", "./a/b/../../x"), ("deep/", "/w/deep", "/w/deep/x", "deep/x"),
        ("deep/", "/w/deep", "/w/data/x", "/w/data/x"), ("/p/q/", "/p/q", "x", "/w/x"),
        ("/w/q/", "/w/q", "q/x", "/w/q/x"),
        ("../o/", "/o", "x", "/w/x"), ("../o/", "/o", "../o/x", "../o/x"), ("../o/", "/o", "/o/x", "../o/x"),
        // A symbolic link: the parent of its target is not this folder.
        ("link/", "/far/away", "x", "/w/x"), ("link/", "/far/away", "/far/away/x", "link/x"),
    ])
    func pathsGoByTheFolder(prefix: String, folder: String, text: String, opened: String) {
        #expect(DefinitionFolder(folder: folder, working: "/w").path(text, prefix: prefix) == opened)
    }
}
