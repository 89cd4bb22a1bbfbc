using System.CommandLine;
using System.Security.Cryptography;
using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary><c>millrace user</c>: who may log in to a broker. The broker reads the file at each login, so that a change counts at once.</summary>
internal static class UserCommand
{
    private const int SaltByteCount = 24;

    public static Command Create()
    {
        Command command = new("user", "Says who may log in to a broker: 'millrace serve --users FILE' reads the file that this writes.")
        {
            CreateAdd(),
            CreateRemove(),
            CreateList(),
        };
        return command;
    }

    private static Command CreateAdd()
    {
        Argument<string> name = NameArgument();
        Option<string> users = UsersOption();
        Option<string> passwordFile = new("--password-file") { Description = "A file whose first line is the password. Default: standard input.", HelpName = "FILE" };
        Option<int> iterations = new("--iterations")
        {
            Description = "How often the password is hashed: more makes guessing slower, and each login too.",
            HelpName = "N",
            DefaultValueFactory = static _ => UserFile.DefaultIterations,
        };
        iterations.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < StoredScramKeys.MinIterations or > UserFile.MaxIterations)
            {
                result.AddError($"--iterations is from {StoredScramKeys.MinIterations} to {UserFile.MaxIterations}.");
            }
        });
        Command command = new("add", "Adds a user, or gives one another password. The password comes from standard input or a file, and is not kept.")
        {
            name, users, passwordFile, iterations,
        };
        command.SetAction((parsed, _) => RunAsync(parsed.InvocationConfiguration, async () =>
        {
            string user = parsed.GetRequiredValue(name);
            string password = parsed.GetValue(passwordFile) is { } file ? PasswordInput.ReadFirstLine(file) : PasswordInput.ReadFromConsole(user);
            if (SaslText.Fault(password) is { } fault)
            {
                await parsed.InvocationConfiguration.Error.WriteLineAsync($"The password {fault}. Choose another one.");
                return ExitCode.Failure;
            }

            string path = Path.GetFullPath(parsed.GetRequiredValue(users));
            var storage = new FileStorage();
            UserFile content = storage.FileExists(path) ? Read(storage, path) : new UserFile();
            foreach (ScramHash hash in new[] { ScramHash.Sha256, ScramHash.Sha512 })
            {
                content.Set(user, StoredScramKeys.Create(hash, password, RandomNumberGenerator.GetBytes(SaltByteCount), parsed.GetValue(iterations)));
            }

            Write(content, storage, path);
            await parsed.InvocationConfiguration.Output.WriteLineAsync($"'{user}' may log in by {MechanismsOf(content.Users.Single(one => one.User == user).Mechanisms)}; written to {path}.");
            return ExitCode.Success;
        }));
        return command;
    }

    private static Command CreateRemove()
    {
        Argument<string> name = NameArgument();
        Option<string> users = UsersOption();
        Command command = new("remove", "Takes a user out. Connections on which it has logged in stay, until they end or connections.max.reauth.ms is over.") { name, users };
        command.SetAction((parsed, _) => RunAsync(parsed.InvocationConfiguration, async () =>
        {
            string user = parsed.GetRequiredValue(name);
            string path = Path.GetFullPath(parsed.GetRequiredValue(users));
            var storage = new FileStorage();
            UserFile content = Read(storage, path);
            if (!content.Remove(user))
            {
                await parsed.InvocationConfiguration.Error.WriteLineAsync($"There is no user '{user}' in {path}.");
                return ExitCode.Failure;
            }

            Write(content, storage, path);
            await parsed.InvocationConfiguration.Output.WriteLineAsync($"'{user}' may not log in any more; written to {path}.");
            return ExitCode.Success;
        }));
        return command;
    }

    private static Command CreateList()
    {
        Option<string> users = UsersOption();
        Command command = new("list", "Prints who may log in, and by which mechanisms.") { users };
        command.SetAction((parsed, _) => RunAsync(parsed.InvocationConfiguration, async () =>
        {
            foreach ((string user, IReadOnlyCollection<string> mechanisms) in Read(new FileStorage(), Path.GetFullPath(parsed.GetRequiredValue(users))).Users)
            {
                await parsed.InvocationConfiguration.Output.WriteLineAsync($"{user}  {MechanismsOf(mechanisms)}");
            }

            return ExitCode.Success;
        }));
        return command;
    }

    /// <summary>Who is in the file for any mechanism may log in by PLAIN as well.</summary>
    private static string MechanismsOf(IEnumerable<string> mechanisms) => string.Join(", ", mechanisms.Prepend("PLAIN"));

    /// <summary>Runs a command's work; what it cannot do is said in a sentence on standard error.</summary>
    private static async Task<int> RunAsync(InvocationConfiguration console, Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            await console.Error.WriteLineAsync(failure.Message);
            return ExitCode.Failure;
        }
    }

    private static UserFile Read(FileStorage storage, string path) => storage.FileExists(path)
        ? UserFile.Read(storage, path)
        : throw new FileNotFoundException($"There is no users file {path}: 'millrace user add NAME --users {path}' makes it.");

    private static void Write(UserFile content, FileStorage storage, string path) => content.Write(storage, path, PasswordInput.KeepPrivate);

    private static Argument<string> NameArgument()
    {
        Argument<string> name = new("NAME") { Description = "The user's name." };
        name.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && SaslText.Fault(result.Tokens[0].Value) is { } fault)
            {
                result.AddError($"The name {fault}.");
            }
        });
        return name;
    }

    private static Option<string> UsersOption() => new("--users") { Description = "The file of the users.", HelpName = "FILE", Required = true };
}
