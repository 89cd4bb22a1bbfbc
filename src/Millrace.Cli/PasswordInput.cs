#pragma warning disable RS0030 // files of a person at a terminal, which no simulation has
using System.Text;

namespace Millrace.Cli;

/// <summary>Where passwords come from: never the command line, which every user of the machine can read.</summary>
internal static class PasswordInput
{
    /// <summary>The first line of a file.</summary>
    /// <exception cref="IOException">It cannot be read, or is empty.</exception>
    public static string ReadFirstLine(string file) =>
        File.ReadLines(file).FirstOrDefault() is { Length: > 0 } line ? line : throw new IOException($"The first line of {file} is the password, and it is empty: nothing was changed.");

    /// <summary>A line of standard input; at a terminal it is asked for twice, and not shown.</summary>
    /// <exception cref="IOException">There is none, or the two are different.</exception>
    public static string ReadFromConsole(string user)
    {
        if (Console.IsInputRedirected)
        {
            return Console.In.ReadLine() is { Length: > 0 } line ? line : throw new IOException("The first line of standard input is the password, and it is empty: nothing was changed.");
        }

        string password = Ask($"Password of {user}: ");
        return password == Ask("Once more: ") ? password : throw new IOException("The two passwords are different; nothing was changed.");
    }

    /// <summary>Only the owner reads and writes it: it does not hold passwords, and still what they can be guessed by.</summary>
    public static void KeepPrivate(string file)
    {
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    private static string Ask(string question)
    {
        Console.Error.Write(question);
        var text = new StringBuilder();
        while (true)
        {
            ConsoleKeyInfo key = Console.ReadKey(intercept: true);
            if (key.Key == ConsoleKey.Enter)
            {
                Console.Error.WriteLine();
                return text.ToString();
            }

            if (key.Key == ConsoleKey.Backspace)
            {
                text.Length = Math.Max(0, text.Length - 1);
            }
            else if (key.KeyChar != '\0')
            {
                text.Append(key.KeyChar);
            }
        }
    }
}
