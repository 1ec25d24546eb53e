import Codec
import Study
import Testing

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("127.0.0.1:8443", "127.0.0.1", 8443), ("localhost:0", "localhost", 0),
        ("[::1]:8443", "::1", 8443),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("node-1.hospital.example:65535", "node-1.hospital.example", 65_535),
        ("0.0.0.0:443", "0.0.0.0", 443), ("my_host:80", "my_host", 80),
    ]) func readsAndWrites(_ text: String, _ host: String, _ port: Int) throws {
        let address = try ListenAddress(text: text, path: "listen")
        #expect(address == ListenAddress(host: host, port: port))
        #expect(address.text == text)
    }

    static let wrong = [
        "", ":", ":80", "host", "host:", "host:x", "host:-1", "host:+80", "host: 80", "host:80 ",
        "host:65536", "host:000080",
        "host:99999999999999999999", "::1:80", "[::1]", "[::1]80", "[]:80", "[host]:80", "[::1:80",
        "::1]:80", "a[::1]:80",
        "http://host:80", "user@host:80", "ho st:80", "host/x:80", "höst:80", "host:８０",
        "host\u{0}:80", "host\n:80",
        "host:80\u{301}", "a:b:80", String(repeating: "a", count: 254) + ":80",
    ]

    @Test func refusesWhatIsNoAddress() {
        for text in ListenAddressTests.wrong {
            do {
                _ = try ListenAddress(text: text, path: "config.listen")
                Issue.record("accepts \(text.debugDescription)")
            } catch {
                #expect(error.path == "config.listen")
            }
        }
    }

    @Test func namesAreSafe() {
        for name in ["a", "0", "heart-disease", String(repeating: "z", count: 64)] {
            #expect(isName(name))
        }
        for name in [
            "", "A", "a.b", "a/b", "a_b", "a b", "é", "a\u{0}", "..",
            String(repeating: "z", count: 65), "ａ",
        ] {
            #expect(!isName(name), "\(name)")
        }
    }
}

@Suite struct CertificateNameTests {
    @Test func commandsOnTheServersOwnMachineFindItsNameInTheCertificate() {
        let address = ListenAddress(host: "10.0.0.5", port: 8440)
        let any = ListenAddress(host: "0.0.0.0", port: 8441)
        #expect(
            ListenAddress.certificateNames(["coordinator.example.org", "localhost"], listening: [address, any])
                == ["coordinator.example.org", "localhost", "10.0.0.5", "127.0.0.1", "::1"])
    }
}
