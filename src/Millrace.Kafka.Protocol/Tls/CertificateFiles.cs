using System.Security.Cryptography.X509Certificates;

namespace Millrace.Kafka.Protocol;

/// <summary>Certificates with their keys, from files or text. Client and broker read them alike.</summary>
public static class CertificateFiles
{
    /// <summary>The certificate that has the key first, those of its signers behind it.</summary>
    public static X509Certificate2Collection ReadWithKey(string? file, string? keyFile, string? certificate, string? key, string? password)
    {
        if (file is not null && IsPkcs12(file))
        {
            X509Certificate2Collection all = X509CertificateLoader.LoadPkcs12CollectionFromFile(file, password);
            X509Certificate2 own = all.FirstOrDefault(static candidate => candidate.HasPrivateKey)
                ?? throw new ArgumentException("it holds no private key.", nameof(file));
            return [own, .. all.Where(other => !ReferenceEquals(other, own))];
        }

        var chain = new X509Certificate2Collection();
        X509Certificate2 first;
        if (file is not null)
        {
            chain.ImportFromPemFile(file);
            first = password is null
                ? X509Certificate2.CreateFromPemFile(file, keyFile)
                : X509Certificate2.CreateFromEncryptedPemFile(file, password, keyFile);
        }
        else
        {
            chain.ImportFromPem(certificate);
            first = password is null
                ? X509Certificate2.CreateFromPem(certificate, key ?? certificate)
                : X509Certificate2.CreateFromEncryptedPem(certificate, key ?? certificate, password);
        }

        return [Usable(first), .. chain.Skip(1)];
    }

    private static bool IsPkcs12(string file) =>
        file.EndsWith(".pfx", StringComparison.OrdinalIgnoreCase) || file.EndsWith(".p12", StringComparison.OrdinalIgnoreCase);

    /// <summary>Windows takes no key for TLS that is in memory only.</summary>
    private static X509Certificate2 Usable(X509Certificate2 certificate)
    {
        if (!OperatingSystem.IsWindows())
        {
            return certificate;
        }

        using (certificate)
        {
            return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), null);
        }
    }
}
