using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Millrace.Kafka.Protocol;

namespace Millrace.Kafka;

/// <summary>Whom the client trusts, and what it shows of itself.</summary>
internal sealed class TlsSettings
{
    private readonly X509Certificate2Collection? _trusted;
    private readonly SslStreamCertificateContext? _own;
    private readonly bool _validateServerName;
    private readonly X509RevocationMode _revocationMode;
    private readonly SslProtocols _protocols;

    private TlsSettings(KafkaSecurityOptions options, X509Certificate2Collection? trusted, SslStreamCertificateContext? own)
    {
        _trusted = trusted;
        _own = own;
        _validateServerName = options.ValidateServerName;
        _revocationMode = options.RevocationMode;
        _protocols = options.EnabledProtocols;
    }

    public bool HasOwnCertificate => _own is not null;

    public static TlsSettings From(KafkaSecurityOptions options) => new(options, ReadTrusted(options), ReadOwn(options));

    /// <summary>What one handshake goes by. The verdict on the broker's certificate, if it is bad, is told through <paramref name="refuse"/>.</summary>
    public SslClientAuthenticationOptions CreateOptions(BrokerAddress broker, Action<string> refuse)
    {
        var policy = new X509ChainPolicy { RevocationMode = _revocationMode };

        // What the key may be used for is part of the question, and a policy of one's own does not ask it by itself.
        policy.ApplicationPolicy.Add(new Oid(CertificateFault.ServerAuthentication));
        if (_trusted is not null)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(_trusted);
            policy.ExtraStore.AddRange(_trusted);
        }

        return new SslClientAuthenticationOptions
        {
            TargetHost = broker.Host,
            EnabledSslProtocols = _protocols,
            ClientCertificateContext = _own,
            CertificateChainPolicy = policy,
            RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            {
                SslPolicyErrors faults = _validateServerName ? errors : errors & ~SslPolicyErrors.RemoteCertificateNameMismatch;
                if (faults != SslPolicyErrors.None)
                {
                    refuse(CertificateFault.Describe(certificate as X509Certificate2, chain, faults, broker.Host));
                }

                return faults == SslPolicyErrors.None;
            },
        };
    }

    private static X509Certificate2Collection? ReadTrusted(KafkaSecurityOptions options)
    {
        if (options.TrustedCertificatesFile is not null && options.TrustedCertificates is not null)
        {
            throw new ArgumentException($"{nameof(options.TrustedCertificatesFile)} and {nameof(options.TrustedCertificates)} are both set; give one of them.", nameof(options));
        }

        if (options.TrustedCertificatesFile is null && options.TrustedCertificates is null)
        {
            return null;
        }

        string source = options.TrustedCertificatesFile ?? nameof(options.TrustedCertificates);
        var certificates = new X509Certificate2Collection();
        try
        {
            if (options.TrustedCertificatesFile is { } path)
            {
                certificates.ImportFromPemFile(path);
            }
            else
            {
                certificates.ImportFromPem(options.TrustedCertificates);
            }
        }
        catch (Exception failure) when (failure is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ArgumentException($"The trusted certificates in {source} cannot be read: {failure.Message} Give a file of PEM certificates.", nameof(options), failure);
        }

        return certificates.Count > 0
            ? certificates
            : throw new ArgumentException($"{source} holds no certificate. Give a file of PEM certificates ('-----BEGIN CERTIFICATE-----').", nameof(options));
    }

    private static SslStreamCertificateContext? ReadOwn(KafkaSecurityOptions options)
    {
        if (options.CertificateFile is not null && options.Certificate is not null)
        {
            throw new ArgumentException($"{nameof(options.CertificateFile)} and {nameof(options.Certificate)} are both set; give one of them.", nameof(options));
        }

        if (options.CertificateFile is null && options.Certificate is null)
        {
            return options.KeyFile is null && options.Key is null
                ? null
                : throw new ArgumentException($"A key is set without its certificate. Set {nameof(options.CertificateFile)} or {nameof(options.Certificate)}.", nameof(options));
        }

        try
        {
            X509Certificate2Collection chain = CertificateFiles.ReadWithKey(
                options.CertificateFile, options.KeyFile, options.Certificate, options.Key, options.KeyPassword);
            return SslStreamCertificateContext.Create(chain[0], chain.Count > 1 ? [.. chain.Skip(1)] : null, offline: true);
        }
        catch (Exception failure) when (failure is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ArgumentException(
                $"The client's certificate in {options.CertificateFile ?? nameof(options.Certificate)} cannot be read: {failure.Message} " +
                $"Give a certificate with its key, in PEM or as a PFX file, and {nameof(options.KeyPassword)} where the key is encrypted.",
                nameof(options),
                failure);
        }
    }
}
