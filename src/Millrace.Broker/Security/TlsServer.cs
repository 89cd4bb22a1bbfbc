using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker;

/// <summary>The broker's certificate, and whom it trusts to sign those of clients.</summary>
internal sealed class TlsServer
{
    /// <summary>The purpose "TLS client" (RFC 5280, id-kp-clientAuth).</summary>
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly SslStreamCertificateContext _own;
    private readonly X509Certificate2Collection? _clientAuthorities;

    private TlsServer(SslStreamCertificateContext own, X509Certificate2Collection? clientAuthorities)
    {
        _own = own;
        _clientAuthorities = clientAuthorities;
    }

    /// <summary>Null where a fault was added.</summary>
    public static TlsServer? Load(BrokerTlsOptions options, List<string> faults)
    {
        if (options.CertificateFile is not { Length: > 0 } file)
        {
            faults.Add("A listener has TLS and Tls.CertificateFile is not set: name the broker's certificate.");
            return null;
        }

        string reading = file;
        try
        {
            X509Certificate2Collection chain = CertificateFiles.ReadWithKey(file, options.KeyFile, certificate: null, key: null, options.KeyPassword);
            SslStreamCertificateContext own = SslStreamCertificateContext.Create(chain[0], chain.Count > 1 ? [.. chain.Skip(1)] : null, offline: true);
            if (options.ClientAuthorityFile is not { Length: > 0 } authorityFile)
            {
                return new TlsServer(own, clientAuthorities: null);
            }

            reading = authorityFile;
            var authorities = new X509Certificate2Collection();
            authorities.ImportFromPemFile(authorityFile);
            if (authorities.Count > 0)
            {
                return new TlsServer(own, authorities);
            }

            faults.Add($"{authorityFile} holds no certificate: name a PEM file with the authorities that sign clients' certificates.");
        }
        catch (Exception failure) when (failure is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            faults.Add(
                $"{reading} cannot be read: {failure.Message.TrimEnd('.')}. A certificate and its key are wanted, in PEM or PKCS #12, and the password where the key is encrypted.");
        }

        return null;
    }

    /// <summary>What one handshake goes by.</summary>
    /// <param name="refuse">Is told what is wrong with the client's certificate, if something is.</param>
    public SslServerAuthenticationOptions CreateOptions(Action<string> refuse)
    {
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = _own,
            ClientCertificateRequired = _clientAuthorities is not null,
            CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        };
        if (_clientAuthorities is not null)
        {
            var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, TrustMode = X509ChainTrustMode.CustomRootTrust };
            policy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
            policy.CustomTrustStore.AddRange(_clientAuthorities);
            policy.ExtraStore.AddRange(_clientAuthorities);
            options.CertificateChainPolicy = policy;
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                if (errors != SslPolicyErrors.None)
                {
                    refuse(certificate is null ? "it shows no certificate, and one is wanted" : Describe(certificate, chain));
                }

                return errors == SslPolicyErrors.None;
            };
        }

        return options;
    }

    private static string Describe(X509Certificate certificate, X509Chain? chain)
    {
        IEnumerable<string> states = (chain?.ChainStatus ?? []).Select(static state => state.StatusInformation.Trim().TrimEnd('.')).Distinct(StringComparer.Ordinal);
        return $"its certificate '{certificate.Subject}' is not accepted: {string.Join("; ", states)}";
    }
}
