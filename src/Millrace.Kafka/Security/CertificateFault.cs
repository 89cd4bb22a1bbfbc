using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Kafka;

/// <summary>Says in a sentence what is wrong with a broker's certificate.</summary>
internal static class CertificateFault
{
    /// <summary>The purpose "TLS server" (RFC 5280, id-kp-serverAuth).</summary>
    public const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";

    public static string Describe(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors faults, string host)
    {
        if (certificate is null || faults.HasFlag(SslPolicyErrors.RemoteCertificateNotAvailable))
        {
            return "it shows no certificate.";
        }

        var parts = new List<string>();
        if (faults.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
        {
            parts.AddRange(DescribeChain(certificate, chain));
        }

        if (faults.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch))
        {
            parts.Add(
                $"its certificate is for {Names(certificate)}, not for '{host}': connect by a name that it holds, have it issued for this one, or, if you know what that " +
                $"allows, set {nameof(KafkaSecurityOptions.ValidateServerName)} to false (ssl.endpoint.identification.algorithm).");
        }

        return string.Join(" Also, ", parts);
    }

    private static IEnumerable<string> DescribeChain(X509Certificate2 certificate, X509Chain? chain)
    {
        X509ChainStatus[] states = chain?.ChainStatus ?? [];
        var all = states.Aggregate(X509ChainStatusFlags.NoError, static (sum, state) => sum | state.Status);
        if (all.HasFlag(X509ChainStatusFlags.NotTimeValid))
        {
            X509Certificate2 bad = chain!.ChainElements
                .FirstOrDefault(static element => element.ChainElementStatus.Any(static state => state.Status.HasFlag(X509ChainStatusFlags.NotTimeValid)))
                ?.Certificate ?? certificate;
            yield return $"the certificate of '{bad.Subject}' is valid from {bad.NotBefore.ToUniversalTime():u} to {bad.NotAfter.ToUniversalTime():u}, and not now: renew it, or check the clock.";
        }

        if ((all & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != X509ChainStatusFlags.NoError)
        {
            yield return
                $"its certificate '{certificate.Subject}' is signed by '{certificate.Issuer}', which is not trusted: name the file with that authority in " +
                $"{nameof(KafkaSecurityOptions.TrustedCertificatesFile)} (ssl.truststore.location).";
        }

        const X509ChainStatusFlags Told = X509ChainStatusFlags.NotTimeValid | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain;
        foreach (X509ChainStatus state in states.Where(static state => (state.Status & ~Told) != X509ChainStatusFlags.NoError))
        {
            yield return $"its certificate '{certificate.Subject}' is refused: {state.StatusInformation.Trim().TrimEnd('.')} ({state.Status}).";
        }
    }

    private static string Names(X509Certificate2 certificate)
    {
        List<string> names = [];
        foreach (X509SubjectAlternativeNameExtension alternative in certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>())
        {
            names.AddRange(alternative.EnumerateDnsNames());
            names.AddRange(alternative.EnumerateIPAddresses().Select(static address => address.ToString()));
        }

        return names.Count > 0 ? string.Join(", ", names) : $"'{certificate.Subject}', without a name of a host";
    }
}
