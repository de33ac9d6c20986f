import Testing

@testable import SluicePipeline

/// How files of the command line are called.
@Suite struct DefinitionFolderTests {
    /// What is opened, and what is left of it as a name when the definition's folder is taken off.
    @Test(arguments: [
        // The definition beside the command, below it, elsewhere.
        ("", "/w", "data/x", "data/x"), ("", "/w", "/w/data/x", "data/x"), ("", "/w", "/v/x", "/v/x"),
        ("deep/", "/w/deep", "deep/x", "deep/x"), ("deep/", "/w/deep", "data/x", "deep/../data/x"),
        ("./a/b/", "/w/a/b", "x", "./a/b/../../x"), ("deep/", "/w/deep", "/w/deep/x", "deep/x"),
        ("deep/", "/w/deep", "/w/data/x", "/w/data/x"), ("/p/q/", "/p/q", "x", "/w/x"),
        ("/w/q/", "/w/q", "q/x", "/w/q/x"),
        ("../o/", "/o", "x", "/w/x"), ("../o/", "/o", "../o/x", "../o/x"), ("../o/", "/o", "/o/x", "../o/x"),
        // A link: up from where it leads is not here.
        ("link/", "/far/away", "x", "/w/x"), ("link/", "/far/away", "/far/away/x", "link/x"),
    ])
    func pathsGoByTheFolder(prefix: String, folder: String, text: String, opened: String) {
        #expect(DefinitionFolder(folder: folder, working: "/w").path(text, prefix: prefix) == opened)
    }
}
