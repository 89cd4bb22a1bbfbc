using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Tests;

/// <summary>An authority of the test's own, and the files of what it signs.</summary>
internal sealed class TestCertificates : IDisposable
{
    private static readonly DateTimeOffset Start = DateTimeOffset.Parse("2020-01-01T00:00:00Z", System.Globalization.CultureInfo.InvariantCulture);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-certificates-");
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _authority;
    private int _lastSerial;

    public TestCertificates(string name = "Test authority")
    {
        var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        _authority = request.CreateSelfSigned(Start, Start.AddYears(50));
        AuthorityFile = Save("authority.pem", _authority.ExportCertificatePem());
    }

    public string AuthorityFile { get; }

    public string AuthorityPem => _authority.ExportCertificatePem();

    /// <summary>The files of a certificate and its key.</summary>
    /// <param name="subject">Whom it is for.</param>
    /// <param name="host">The name or address that it holds besides.</param>
    /// <param name="isExpired">Whether it was valid once.</param>
    /// <param name="keyPassword">Encrypts the key.</param>
    public (string CertificateFile, string KeyFile) Issue(string subject, string? host = null, bool isExpired = false, string? keyPassword = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = Sign(subject, host, isExpired, key);
        string pem = keyPassword is null
            ? key.ExportPkcs8PrivateKeyPem()
            : key.ExportEncryptedPkcs8PrivateKeyPem(keyPassword, new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));
        string name = $"{++_lastSerial}";
        return (Save(name + ".pem", certificate.ExportCertificatePem()), Save(name + ".key", pem));
    }

    /// <summary>A PKCS #12 file with the certificate, its key and the authority's certificate.</summary>
    public string IssuePfx(string subject, string password)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = Sign(subject, host: null, isExpired: false, key).CopyWithPrivateKey(key);
        string path = Path.Combine(_folder.FullName, $"{++_lastSerial}.pfx");
        File.WriteAllBytes(path, new X509Certificate2Collection { certificate, _authority.WithoutKey() }.Export(X509ContentType.Pkcs12, password)!);
        return path;
    }

    public string Save(string name, string text)
    {
        string path = Path.Combine(_folder.FullName, name);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose()
    {
        _authority.Dispose();
        _key.Dispose();
        _folder.Delete(recursive: true);
    }

    private X509Certificate2 Sign(string subject, string? host, bool isExpired, ECDsa key)
    {
        var request = new CertificateRequest($"CN={subject}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], critical: false));
        if (host is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            if (IPAddress.TryParse(host, out IPAddress? address))
            {
                names.AddIpAddress(address);
            }
            else
            {
                names.AddDnsName(host);
            }

            request.CertificateExtensions.Add(names.Build());
        }

        byte[] serial = [1, .. BitConverter.GetBytes(++_lastSerial)];
        return request.Create(_authority, Start.AddDays(1), isExpired ? Start.AddDays(2) : Start.AddYears(40), serial);
    }
}

/// <summary>Certificates to be given away.</summary>
internal static class TestCertificateExtensions
{
    public static X509Certificate2 WithoutKey(this X509Certificate2 certificate) => X509CertificateLoader.LoadCertificate(certificate.RawData);
}
