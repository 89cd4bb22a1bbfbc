using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Net.Sockets;
using Millrace.Broker;

namespace Millrace.Cli;

/// <summary>The options of <c>serve</c> that say where clients connect, and how they show who they are.</summary>
internal sealed class ListenerOptionSet
{
    private const string DefaultListen = "127.0.0.1:9092";

    private readonly Option<ListenAddress[]> _listen = AddressOption(
        "--listen",
        "An address to listen on; port 0 takes a free one. Give 0.0.0.0:9092 to be reachable from other machines, and ssl://, sasl_plaintext:// or sasl_ssl:// before it "
        + "for TLS and logins; may be given several times.");

    private readonly Option<ListenAddress[]> _advertise = AddressOption(
        "--advertise",
        "The address that clients are told to connect to, where it differs from the one that --listen gives, by name where that is a name; with the scheme of its listener, where there are several.");

    private readonly Option<string> _users = FileOption("--users", "The users who may log in; 'millrace user add' makes the file.");
    private readonly Option<string> _certificate = FileOption("--certificate", "The broker's certificate for TLS, those of its signers behind it: PEM, or PKCS #12 (.pfx, .p12).");
    private readonly Option<string> _key = FileOption("--key", "The key of the certificate, where its file does not hold it: PEM.");
    private readonly Option<string> _keyPassword = FileOption("--key-password-file", "A file whose first line is the password of the key.");
    private readonly Option<string> _clientAuthority = FileOption("--client-ca", "Clients on listeners with TLS must show a certificate that one of these has signed: PEM.");

    public ListenerOptionSet() => _listen.DefaultValueFactory = static _ => [new ListenAddress(ListenerProtocol.Plaintext, new HostPort("127.0.0.1", 9092))];

    public IEnumerable<Option> All => [_listen, _advertise, _users, _certificate, _key, _keyPassword, _clientAuthority];

    /// <summary>Adds to a command, with what the options ask of each other.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in All)
        {
            command.Add(option);
        }

        command.Validators.Add(Validate);
    }

    /// <summary>Names are resolved here, and files read, since that may fail at any time.</summary>
    /// <exception cref="BrokerStartException">A name has no address.</exception>
    /// <exception cref="IOException">The file of the password cannot be read.</exception>
    public async Task ApplyAsync(ParseResult parsed, BrokerOptions options, CancellationToken cancellationToken)
    {
        ListenAddress[] advertised = parsed.GetValue(_advertise) ?? [];
        ListenAddress[] listening = parsed.GetRequiredValue(_listen);
        foreach (ListenAddress listen in listening)
        {
            HostPort? told = listening.Length == 1 ? advertised.FirstOrDefault()?.Address : advertised.FirstOrDefault(one => one.Protocol == listen.Protocol)?.Address;
            options.Listeners.Add(new ListenerOptions
            {
                Protocol = listen.Protocol,
                EndPoint = await ResolveAsync(listen.Address, cancellationToken),
                AdvertisedHost = told?.Host ?? listen.Address.Name,
                AdvertisedPort = told?.Port,
            });
        }

        options.UsersFile = FullPath(parsed.GetValue(_users));
        options.Tls.CertificateFile = FullPath(parsed.GetValue(_certificate));
        options.Tls.KeyFile = FullPath(parsed.GetValue(_key));
        await RequireKeyAsync(options.Tls, cancellationToken);
        options.Tls.ClientAuthorityFile = FullPath(parsed.GetValue(_clientAuthority));
        options.Tls.KeyPassword = parsed.GetValue(_keyPassword) is { } file ? PasswordInput.ReadFirstLine(file) : null;
    }

    /// <summary>A certificate in PEM may bring its key with it. Anything else that is wrong with the file, the broker says.</summary>
    private static async Task RequireKeyAsync(BrokerTlsOptions tls, CancellationToken cancellationToken)
    {
        if (tls.CertificateFile is not { } file || tls.KeyFile is not null)
        {
            return;
        }

        string text;
        try
        {
            using StreamReader reader = new(file);
            text = await reader.ReadToEndAsync(cancellationToken);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return;
        }

        if (text.Contains("-----BEGIN CERTIFICATE-----", StringComparison.Ordinal) && !text.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
        {
            throw new BrokerStartException(BrokerStartFailure.InvalidOptions, $"--certificate {file} holds no key, and --key is not given: name the file of the key with --key.");
        }
    }

    private static async Task<IPEndPoint> ResolveAsync(HostPort address, CancellationToken cancellationToken)
    {
        try
        {
            return await address.ResolveAsync(cancellationToken);
        }
        catch (SocketException failure)
        {
            throw new BrokerStartException(BrokerStartFailure.Listen, $"'{address.Host}' in --listen {address} cannot be resolved: {failure.Message}.", failure);
        }
    }

    private static string? FullPath(string? path) => path is null ? null : Path.GetFullPath(path);

    private void Validate(CommandResult result)
    {
        // What is no address is complained of elsewhere, and asking for the value of such an option throws.
        List<ListenAddress> listening = AddressesOf(result, _listen);
        List<ListenAddress> advertised = AddressesOf(result, _advertise);
        bool hasSasl = listening.Any(static listen => listen.Protocol is ListenerProtocol.SaslPlaintext or ListenerProtocol.SaslSsl);
        bool hasTls = listening.Any(static listen => listen.Protocol is ListenerProtocol.Ssl or ListenerProtocol.SaslSsl);
        if (hasSasl && result.GetResult(_users) is null)
        {
            result.AddError("A listener wants logins, and --users is not given: make a file with 'millrace user add NAME --users FILE', and name it.");
        }
        else if (hasTls && result.GetResult(_certificate) is null)
        {
            result.AddError("A listener has TLS, and --certificate is not given: name the broker's certificate.");
        }

        foreach (ListenAddress told in advertised.Where(static told => told.Address.Port == 0))
        {
            result.AddError($"--advertise {told.Address}: clients cannot connect to port 0; name the one that they are to use.");
        }

        if (listening.Count > 1)
        {
            foreach (ListenAddress told in advertised.Where(told => listening.Count(listen => listen.Protocol == told.Protocol) != 1))
            {
                result.AddError($"--advertise {told.Address} fits no listener, or several: with more than one --listen, each has a scheme of its own, and --advertise repeats it.");
            }
        }
        else if (advertised.Count > 1)
        {
            result.AddError("--advertise is given several times, and there is one --listen.");
        }
    }

    private static List<ListenAddress> AddressesOf(CommandResult result, Option option)
    {
        List<ListenAddress> addresses = [];
        foreach (Token token in result.GetResult(option)?.Tokens ?? [])
        {
            if (ListenAddress.TryParse(token.Value, out ListenAddress? address))
            {
                addresses.Add(address);
            }
        }

        return addresses;
    }

    private static Option<string> FileOption(string name, string description) => new(name) { Description = description, HelpName = "FILE" };

    private static Option<ListenAddress[]> AddressOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "[SCHEME://]HOST:PORT",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
        CustomParser = result =>
        {
            List<ListenAddress> addresses = [];
            foreach (string text in result.Tokens.Select(static token => token.Value))
            {
                if (ListenAddress.TryParse(text, out ListenAddress? address))
                {
                    addresses.Add(address);
                }
                else
                {
                    result.AddError($"'{text}' is not an address for {name}{HostPort.PortFault(text)}; write HOST:PORT, for example {DefaultListen}, or with ssl://, sasl_plaintext:// or sasl_ssl:// before it.");
                }
            }

            return [.. addresses];
        },
    };
}
