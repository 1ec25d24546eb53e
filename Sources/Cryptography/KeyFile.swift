/// A private key on disk.
package enum KeyFile {
    /// No key or key chain is larger; bigger files are not read.
    package static let bytesMax = 64 * 1024
}
